"""Run the standard library's WSGI server: `python -P -m launcher.runners.wsgiref [flags] MODULE:ATTRIBUTE`."""

import sys
from collections.abc import Sequence

from . import arguments, process
from .arguments import Options, WsgirefOptions
from .worker import Serve


def read(argv: Sequence[str]) -> WsgirefOptions:
    """Read the flags; ends the process where they make no sense."""
    words = arguments.parser("wsgiref", threads=8)
    add = words.add_argument
    add("--tls-cert", metavar="PATH", help="certificate chain, PEM; HTTPS is spoken then")
    add("--tls-key", metavar="PATH", help="its private key, where it is not in the same file")
    add("--tls-ca", metavar="PATH", help="what clients' certificates are checked against")
    add("--tls-client-cert", choices=("required", "optional"), help="whether clients must show a certificate")
    return arguments.parse(words, argv, WsgirefOptions())


def prepare(options: Options) -> Serve:
    # Imported in workers only: the supervisor has no use for a server.
    from . import wsgiref_server

    assert isinstance(options, WsgirefOptions)
    return wsgiref_server.prepare(options)


if __name__ == "__main__":
    process.run(read, prepare, sys.argv[1:])
