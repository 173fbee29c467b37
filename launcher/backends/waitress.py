"""waitress, run by a runner of ours. Facts: waitress 3.0.2, held by live tests."""

from ..backend import NO_LIMIT, RUNNER_RULES, Backend
from ..native import Words, flag, impossible
from ..options import Options

NO_TLS = "it has no TLS"
NO_LOOP = "Remove it: the runner has a loop of its own."


def native_setting(key: str, value: object) -> Words:
    """Return `--native key=value`; the runner hands it to waitress, which knows its own settings."""
    return ("--native", f"{key}={str(value).lower() if isinstance(value, bool) else value}")


def _always(options: Options) -> Words:
    # waitress 3.0.2 removes the forwarding headers before our layer can judge who sent them.
    return () if options.trusted_proxies is None else ("--native", "clear_untrusted_proxy_headers=false")


BACKEND = Backend(
    name="waitress",
    summary="workers of ours, threads; buffers slow clients",
    distribution="waitress",
    brought_by="wsgi-launcher[waitress]",
    minimum=(3, 0),
    program=("-m", "launcher.runners.waitress"),
    always=_always,
    native=native_setting,
    stands_by=lambda options: True,
    reserved={
        "host": "Use bind.",
        "port": "Use bind.",
        "ipv4": "Use bind.",
        "ipv6": "Use bind.",
        "listen": "Use bind.",
        "unix_socket": "Use bind.",
        "sockets": "Use bind.",
        "unix_socket_perms": "Use socket_mode.",
        "trusted_proxy": "Use trusted_proxies.",
        "trusted_proxy_headers": "Use trusted_proxies.",
        "trusted_proxy_count": "Use trusted_proxies.",
        "clear_untrusted_proxy_headers": "Use trusted_proxies.",
        "connection_limit": "Use max_connections.",
        "channel_timeout": "Use keepalive and client_timeout.",
        "max_request_header_size": "Use max_header_size.",
        "max_request_body_size": "Use max_body_size.",
        "cleanup_interval": NO_LOOP,
        "asyncore_loop_timeout": NO_LOOP,
    },
    rules={
        **RUNNER_RULES,
        "max_connections": flag("--max-connections"),
        "tls_cert": impossible(NO_TLS),
        "tls_key": impossible(NO_TLS),
        "tls_ca": impossible(NO_TLS),
        "tls_client_cert": impossible(NO_TLS),
        "max_header_size": flag("--max-header-size", value=lambda value: str(4 * value or NO_LIMIT)).but(
            "the whole request head may be four times this"
        ),
        # Besides the layer in the worker, which refuses: what is too long is not received for it.
        "max_body_size": flag("--max-body-size", value=lambda value: str(value or NO_LIMIT)),
    },
)
