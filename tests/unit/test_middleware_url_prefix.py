"""launcher.middleware.url_prefix: what is below the path, and what is not."""

from wsgiref.validate import validator

import pytest

from launcher.middleware.url_prefix import mount
from tests.exchange import call, hello, make_environ


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("/shop", "/shop", ("/shop", "")),
        ("/shop", "/shop/", ("/shop", "/")),
        ("/shop", "/shop/cart", ("/shop", "/cart")),
        ("/shop/", "/shop/cart", ("/shop", "/cart")),
        ("/a/b", "/a/b/c", ("/a/b", "/c")),
        ("/shop", "/shop//cart", ("/shop", "//cart")),
        ("/küche", "/k\xc3\xbcche/x", ("/k\xc3\xbcche", "/x")),
    ],
)
def test_path_is_split_at_the_end_of_a_segment(prefix: str, path: str, expected: tuple[str, str]) -> None:
    environ = make_environ(PATH_INFO=path)
    assert call(mount(hello, prefix), environ).body == b"hello"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected


@pytest.mark.parametrize("path", ["/", "", "/shopping", "/shop2/x", "/Shop", "/x/shop", "//shop", "http://h/shop"])
def test_other_paths_are_not_found(path: str) -> None:
    environ = make_environ(PATH_INFO=path)
    answer = call(mount(hello, "/shop"), environ)
    assert (answer.status, answer.body) == ("404 Not Found", b"404 Not Found\n")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", path)


def test_prefix_comes_after_what_is_mounted_already() -> None:
    environ = make_environ(SCRIPT_NAME="/site", PATH_INFO="/shop/cart")
    call(mount(hello, "/shop"), environ)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/site/shop", "/cart")


def test_refusal_keeps_the_contract_and_sends_no_body_to_head() -> None:
    app = validator(mount(hello, "/shop"))
    assert call(app, make_environ(PATH_INFO="/x")).body == b"404 Not Found\n"
    answer = call(app, make_environ(PATH_INFO="/x", REQUEST_METHOD="HEAD"))
    assert (answer.body, answer.header["Content-Length"]) == (b"", "14")


def test_prefix_without_slash_is_refused() -> None:
    with pytest.raises(ValueError, match="does not begin with a slash"):
        mount(hello, "shop")
