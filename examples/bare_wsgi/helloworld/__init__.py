"""A WSGI middleware that says hello."""
