"""`serve`: start a Django or WSGI project on any server, from TOML profiles."""

__version__ = "0.1.0"
