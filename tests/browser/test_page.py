"""The page that shows a failure, and the script that loads pages anew, in a real browser."""

from pathlib import Path

import pytest

from tests.browser.stage import Stage
from tests.browser.tab import Tab

pytestmark = pytest.mark.live

POLICY = "default-src 'self'"
NONCE = "script-src 'nonce-c2VydmU=' 'strict-dynamic'; base-uri 'none'"
GOOD = f"""
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Security-Policy", "{POLICY}")])
    return [b"<title>site</title><h1>{{word}}</h1>" + environ["PATH_INFO"].encode()]
"""
BAD = """
def prepare():
    raise LookupError("no <b>such</b> thing")


prepare()
"""


def test_page_of_a_failure_gives_way_to_the_site(tab: Tab, tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.write(mysite=BAD)
        stage.fails()
        tab.open(f"{stage.url}/some/page?of=it")
        assert "LookupError: no <b>such</b> thing (mysite.py:3)" in tab.find("h1").text
        assert tab.find(".here").text.endswith('raise LookupError("no <b>such</b> thing")')
        tab.mark()
        tab.wait_until_it_listens()
        stage.write(mysite=GOOD.format(word="mended"))
        stage.start()
        tab.wait_for("mended\n/some/page")
        assert tab.driver.current_url == f"{stage.url}/some/page?of=it"
        assert not tab.marked


def test_page_of_a_failure_gives_way_to_the_next_one(tab: Tab, tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.write(mysite=BAD)
        stage.fails()
        tab.open(stage.url)
        tab.wait_for("LookupError")
        stage.write(mysite="def app(:\n")
        stage.fails()
        tab.wait_for("SyntaxError")
        tab.mark()
        # The one thing that takes a fixed time: nothing happens.
        tab.driver.execute_async_script("setTimeout(arguments[0], 1500)")
        assert tab.marked


def test_page_is_coloured_for_the_night_too(tab: Tab, tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.write(mysite=BAD)
        stage.fails()
        seen = set()
        for scheme in ("light", "dark"):
            feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
            tab.open(stage.url)
            seen.add((tab.style("body", "background-color"), tab.style("body", "color")))
        tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        assert len(seen) == 2


@pytest.mark.parametrize("policy", [POLICY, NONCE])
def test_live_page_follows_changes_and_restarts(tab: Tab, policy: str, tmp_path: Path) -> None:
    good = GOOD.replace(POLICY, policy)
    with Stage(tmp_path, live=True) as stage:
        stage.write(mysite=good.format(word="first"))
        stage.start()
        tab.open(stage.url)
        tab.wait_for("first")
        tab.mark()
        tab.wait_until_it_listens()
        stage.channel.changed([str(tmp_path / "page.html")])
        tab.until(lambda: not tab.marked, "the page to be loaded anew")
        stage.write(mysite=good.format(word="second"))
        stage.start()
        tab.wait_for("second")


def test_live_page_breaks_and_comes_back(tab: Tab, tmp_path: Path) -> None:
    with Stage(tmp_path, live=True, url_prefix="/shop") as stage:
        stage.write(mysite=GOOD.format(word="first"))
        stage.start()
        tab.open(f"{stage.url}/shop/cart")
        tab.wait_for("first\n/cart")
        stage.write(mysite=BAD)
        stage.fails()
        tab.wait_for("LookupError")
        stage.write(mysite=GOOD.format(word="third"))
        stage.start()
        tab.wait_for("third\n/cart")


def test_hidden_tabs_hold_no_thread_and_catch_up(tab: Tab, tmp_path: Path) -> None:
    with Stage(tmp_path, live=True, threads=2) as stage:
        stage.write(mysite=GOOD.format(word="first"))
        stage.start()
        tab.open(stage.url)
        first = tab.driver.current_window_handle
        tab.driver.switch_to.new_window("tab")
        tab.open(f"{stage.url}/second")
        stage.write(mysite=GOOD.format(word="other"))
        stage.start()
        tab.wait_for("other\n/second")
        tab.driver.switch_to.window(first)
        tab.wait_for("other\n/")
