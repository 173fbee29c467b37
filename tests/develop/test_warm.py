"""What is held for warm starts, and what must not be: a warm start is what a cold one would have been."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from launcher.develop.template import MOST_ATTEMPTS
from launcher.testing.serving import wait_for
from tests.develop.site import APP, Site

pytestmark = pytest.mark.live

INSTALLED = "lib/site-packages"


def site_with(directory: Path, basket: str, environ: Mapping[str, str] | None = None, /, **installed: str) -> Site:
    """Return a site that uses packages which are installed, as their directory has it."""
    files = {"app.py": APP, "shop/__init__.py": "", "shop/basket.py": basket}
    files |= {f"{INSTALLED}/{name}.py": text for name, text in installed.items()}
    return Site(directory, files=files, environ=environ, python_path=[str(directory / INSTALLED)])


def test_a_dependency_that_changed_on_disk(tmp_path: Path) -> None:
    basket = "import dependency\nVERSION = dependency.VERSION\n"
    with site_with(tmp_path, basket, dependency="VERSION = 'old'\n") as site:
        site.warmed_up(basket)
        assert site.now() == "old"
        (tmp_path / INSTALLED / "dependency.py").write_text("VERSION = 'upgraded'\n")
        site.save(f"{basket}# again\n")
        site.shows("upgraded")
        wait_for(lambda: "cold (dependency.py changed on disk)" in site.output, "the line")
        site.warmed_up(basket)
        assert site.now() == "upgraded"


def test_a_dependency_that_is_new(tmp_path: Path) -> None:
    dependency = "try:\n    import extra\nexcept ImportError:\n    extra = None\nVERSION = str(extra is not None)\n"
    basket = "import dependency\nVERSION = dependency.VERSION\n"
    with site_with(tmp_path, basket, dependency=dependency) as site:
        site.warmed_up(basket)
        assert site.now() == "False"
        (tmp_path / INSTALLED / "extra.py").write_text("")
        site.save(f"{basket}# again\n")
        site.shows("True")


def test_a_module_that_starts_threads(tmp_path: Path) -> None:
    dependency = (
        "import threading\nover = threading.Event()\n"
        "thread = threading.Thread(target=over.wait, daemon=True, name='ticker')\nthread.start()\n"
    )
    basket = "import dependency, json\nVERSION = dependency.thread.is_alive()\n"
    with site_with(tmp_path, basket, dependency=dependency) as site:
        site.warmed_up(basket)
        assert site.now() == "True"
        site.save(f"{basket}# again\n")
        site.warmed_up(basket)
        assert site.now() == "True"
        assert site.output.count("imports it anew: dependency starts threads (ticker)") == 1


def test_what_cannot_be_held_is_tried_again_when_it_changed(tmp_path: Path) -> None:
    """Here every process has a thread from its beginning, as from a profiler that a .pth file starts."""
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "sitecustomize.py").write_text(
        "import sys, threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        f"if 'launcher.develop.template' in sys.orig_argv:\n    open({str(tmp_path / 'attempts')!r}, 'a').write('.')\n"
    )
    (tmp_path / "attempts").write_text("")

    def attempts() -> int:
        return (tmp_path / "attempts").stat().st_size

    basket = "import dependency\nVERSION = dependency.VERSION\n"
    environ = {"PYTHONPATH": str(tmp_path / "early")}
    with site_with(tmp_path, basket, environ, dependency="VERSION = 'old'\n") as site:
        for number in range(100):
            site.save(f"{basket}VERSION += ' {number}'\n")
            site.shows(f"old {number}")
            if "cold (what it needs cannot be imported ahead)" in site.output:
                break
        assert attempts() == MOST_ATTEMPTS
        for number in range(100, 103):
            site.save(f"{basket}VERSION += ' {number}'\n")
            site.shows(f"old {number}")
        assert attempts() == MOST_ATTEMPTS
        (tmp_path / INSTALLED / "dependency.py").write_text("VERSION = 'upgraded'\n")
        site.save(basket)
        site.shows("upgraded")
        wait_for(lambda: attempts() > MOST_ATTEMPTS, "another attempt")


def test_a_module_that_reads_what_the_project_sets(tmp_path: Path) -> None:
    dependency = "import os\nCOLOUR = os.environ.get('COLOUR', 'none')\n"
    basket = "import os\nos.environ['COLOUR'] = 'red'\nimport dependency\nVERSION = dependency.COLOUR\n"
    with site_with(tmp_path, basket, dependency=dependency) as site:
        site.warmed_up(basket)
        assert site.now() == "red"
        # Now another value, and another variable: the template was made for neither.
        site.save(basket.replace("'red'", "'sky'"))
        site.shows("sky")
        site.save("import dependency\nVERSION = dependency.COLOUR\n")
        site.shows("none")


def test_a_module_that_asks_for_the_project(tmp_path: Path) -> None:
    # As what is compiled does (pydantic 2): an error that nobody can catch goes to the terminal.
    dependency = (
        "class Asks:\n    def __del__(self):\n        from local_colour import COLOUR\n"
        "Asks()\n"
        "try:\n    from local_colour import COLOUR\nexcept ImportError:\n    COLOUR = 'none'\n"
    )
    middle = "from dependency import COLOUR\n"
    basket = "import middle\nVERSION = middle.COLOUR\n"
    with site_with(tmp_path, basket, dependency=dependency, middle=middle) as site:
        site.save("COLOUR = 'red'\n", "local_colour.py")
        site.shows("red")
        site.warmed_up(basket)
        assert site.now() == "red"
        site.save("COLOUR = 'sky'\n", "local_colour.py")
        site.shows("sky")
        assert "left out" not in site.output


def test_without_watchfiles_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "watchfiles.py").write_text("raise ImportError('hidden by the test')\n")
    with Site(tmp_path, environ={"PYTHONPATH": str(tmp_path / "none")}) as site:
        wait_for(lambda: "twice a second" in site.output, "the line")
        site.release(5)
        site.shows("5")


def test_a_start_can_be_cold_each_time(tmp_path: Path) -> None:
    with Site(tmp_path, warm_start=False) as site:
        site.release(1)
        site.shows("1")
        wait_for(lambda: "cold (warm_start is off)" in site.output, "the line")
