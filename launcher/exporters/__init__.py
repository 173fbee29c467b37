"""Exporters: one file for each kind, each one function from plan to files."""
