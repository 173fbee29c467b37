"""A headless Chromium, or the reason why there is none."""

import shutil
from collections.abc import Iterator

import pytest

from tests.browser.tab import Tab


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """Start Debian's Chromium."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: Debian's chromium and chromium-driver")
    pytest.importorskip("selenium", reason="the package selenium is not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for word in ("headless", "no-sandbox", "disable-dev-shm-usage", "disable-background-networking", "no-first-run"):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    service = webdriver.ChromeService(executable_path=programs["chromedriver"])
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Tab(driver)
    finally:
        driver.quit()


@pytest.fixture
def tab(chromium: Tab) -> Iterator[Tab]:
    """A tab that shows nothing, and leaves nothing to the next test."""
    yield chromium
    chromium.clear()
