"""wsgiref, the standard library's server, made threaded by a runner of ours."""

from ..backend import NO_LIMIT, RUNNER_RULES, Backend
from ..native import Refusal, Words, flag, impossible


def _no_native(key: str, value: object) -> Words:
    raise Refusal("it has no settings of its own", "Remove the section.")


BACKEND = Backend(
    name="wsgiref",
    summary="workers of ours, threads; always there, for development",
    distribution="",
    minimum=(3, 11),
    program=("-m", "launcher.runners.wsgiref"),
    native=_no_native,
    stands_by=lambda options: True,
    production=False,
    rules={
        **RUNNER_RULES,
        "max_connections": impossible("a connection is a thread: threads limits both", harmless=lambda value: False),
        "tls_cert": flag("--tls-cert"),
        "tls_key": flag("--tls-key"),
        "tls_ca": flag("--tls-ca"),
        "tls_client_cert": flag("--tls-client-cert"),
        "max_header_size": flag("--max-header-size", value=lambda value: str(4 * value or NO_LIMIT)).but(
            "the whole request head may be four times this"
        ),
        # Besides the layer in the worker, which refuses: what is too long is not received for it.
        "max_body_size": flag("--max-body-size", value=lambda value: str(value or NO_LIMIT)),
    },
)
