"""What a test does in a browser, and what it sees there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launcher.testing.serving import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement


class Tab:
    """The tab in front."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def clear(self) -> None:
        while len(self.driver.window_handles) > 1:
            self.driver.close()
            self.driver.switch_to.window(self.driver.window_handles[0])
        self.driver.delete_all_cookies()
        self.driver.get("about:blank")

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def find(self, selector: str) -> WebElement:
        """Return the first element that matches, which has to be there."""
        return self.driver.find_element("css selector", selector)

    def style(self, selector: str, name: str) -> str:
        """Return what the browser has computed of a style."""
        return self.find(selector).value_of_css_property(name)

    @property
    def text(self) -> str:
        """What is to be read; nothing while a page is being loaded."""
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def until(self, true: Callable[[], object], what: str) -> None:
        """Wait for something to be true of a page that may be loaded anew meanwhile."""
        from selenium.common.exceptions import WebDriverException

        def is_true() -> bool:
            try:
                return bool(true())
            except WebDriverException:
                return False  # one page has gone, the other has not come

        try:
            wait_for(is_true, what)
        except AssertionError as error:
            raise AssertionError(f"{error}, on {self.driver.current_url}:\n{self.text}") from None

    def wait_for(self, text: str) -> None:
        """Wait for a page to say something."""
        self.until(lambda: text in self.text, repr(text))

    def wait_until_it_listens(self) -> None:
        """Wait for the script of the page to have begun."""
        self.until(lambda: self.run("return window.serveListens"), "the page to listen")

    def mark(self) -> None:
        """Leave something in the page that is gone when it is loaded anew."""
        self.run("window.markedByTest = true")

    @property
    def marked(self) -> bool:
        return bool(self.run("return window.markedByTest === true"))
