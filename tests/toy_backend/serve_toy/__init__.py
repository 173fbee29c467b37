"""A toy server for `serve`: the standard library's, one request at a time."""
