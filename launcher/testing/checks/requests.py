"""What a proxy may say of a request, and how large it may be."""

from ..kit import Check, Kit
from ..serving import Serving, same

FORWARDED = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: forged.example")


def proxies_are_believed(kit: Kit) -> None:
    with kit.serve() as serving:
        for how in ({"source": "127.0.0.1"}, {"address": f"unix:{kit.public}/kit.sock"}):
            seen = serving.report("/environ", *FORWARDED, **how)
            same((seen["REMOTE_ADDR"], seen["wsgi.url_scheme"]), ("203.0.113.9", "https"), f"of a proxy at {how}")
            same(serving.report("/environ", **how)["wsgi.url_scheme"], "http", "scheme without a header")
        assert_not_believed(serving, source="127.0.0.3")


def unix_peer_is_a_stranger(kit: Kit) -> None:
    with kit.serve() as serving:
        assert_not_believed(serving, address=f"unix:{kit.public}/kit.sock")


def assert_not_believed(serving: Serving, *, source: str = "", address: str = "") -> None:
    seen = serving.report("/environ", *FORWARDED, "Forwarded: for=203.0.113.9", source=source, address=address)
    assert seen["wsgi.url_scheme"] == "http", "the scheme of a stranger is believed"
    assert seen["REMOTE_ADDR"] != "203.0.113.9", "the address of a stranger is believed"
    left = [key for key in seen if "FORWARDED" in key]
    assert not left, f"a stranger's headers reach the application: {left}"


def prefix_moves_to_script_name(kit: Kit) -> None:
    with kit.serve(ready=True) as serving:
        seen = serving.report("/shop/environ")
        same((seen["SCRIPT_NAME"], seen["PATH_INFO"]), ("/shop", "/environ"), "SCRIPT_NAME and PATH_INFO")
        for outside in ("/environ", "/shopping"):
            same(serving.request(outside).status, 404, f"status of {outside}")


def long_request_line_is_refused(kit: Kit) -> None:
    with kit.serve() as serving:
        # `GET ` before and ` HTTP/1.1` with its line end behind: what counts them may differ by that much.
        same(serving.request("/?" + "x" * (1000 - 20)).status, 200, "status of a line just short enough")
        said = ending(serving, f"GET /?{'x' * 1100} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        same(said[:12], b"HTTP/1.1 414", "answer to a line that is too long")


def long_header_is_refused(kit: Kit) -> None:
    with kit.serve() as serving:
        same(serving.request("/", f"X-Long: {'x' * (3000 - 20)}").status, 200, "status with a header just short enough")
        largest = 3100 if kit.how("max_header_size") != "approximate" else 4 * 3000 + 100
        said = ending(serving, f"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {'x' * largest}\r\n\r\n")
        if kit.how("max_header_size") != "approximate":
            same(said[:12], b"HTTP/1.1 431", "answer to a header that is too long")
        assert not said.startswith(b"HTTP/1.1 2"), "it was let through"
        serving.report()


def large_cookie_passes_in_production(kit: Kit) -> None:
    with kit.serve(name="prod") as serving:
        cookie = "x" * 5000
        seen = serving.report("/environ", f"Cookie: session={cookie}")
        same(seen["HTTP_COOKIE"], f"session={cookie}", "the cookie")


def large_body_is_refused(kit: Kit) -> None:
    with kit.serve() as serving:
        same(serving.report("/length", method="POST", body=b"x" * 1000), {"length": 1000}, "the largest body")
        for size in (1001, 500_000):
            with serving.client() as client:
                same(client.ask("/length", method="POST", body=b"x" * size).status, 413, f"status of {size} bytes")
        head = "POST /length HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        said = ending(serving, head + f"{2000:x}\r\n{'x' * 2000}\r\n0\r\n\r\n")
        assert b'"length": 2000' not in said, "a chunked body of any length goes through"
        serving.report()


def ending(serving: Serving, data: str) -> bytes:
    """Send this, and return all that comes until the server closes."""
    with serving.client() as client:
        try:
            client.send(data)
        except ConnectionError:
            pass  # it has said what it thinks already
        return client.rest()


CHECKS = (
    Check(
        "trusted-proxies",
        {"trusted_proxies": ["127.0.0.1", "unix"]},
        proxies_are_believed,
        given={"bind": ["127.0.0.1:0", "unix:PUBLIC/kit.sock"]},
    ),
    Check(
        "trusted-proxies-unix",
        {"trusted_proxies": ["127.0.0.1"]},
        unix_peer_is_a_stranger,
        given={"bind": ["unix:PUBLIC/kit.sock"]},
    ),
    Check("url-prefix", {"url_prefix": "/shop"}, prefix_moves_to_script_name),
    Check("max-request-line", {"max_request_line": 1000}, long_request_line_is_refused),
    Check("max-header-size", {"max_header_size": 3000}, long_header_is_refused),
    Check("max-header-size-prod", {}, large_cookie_passes_in_production, about=("max_header_size",)),
    Check("max-body-size", {"max_body_size": 1000}, large_body_is_refused),
)
