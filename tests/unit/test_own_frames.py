"""Tracebacks in logs: from where the application is called, and whole where there is nothing to tell it by."""

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from launcher.application import ApplicationError, Spec, Step, run
from launcher.develop.own_frames import show_own_frames


@pytest.fixture(autouse=True)
def changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.Formatter, "formatException", logging.Formatter.formatException)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    show_own_frames()


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    logger, text = logging.getLogger("of the test"), io.StringIO()
    handler = logging.StreamHandler(text)
    logger.addHandler(handler)
    yield logger, text
    logger.removeHandler(handler)


def fail() -> None:
    raise ValueError("of the application")


def test_frames_that_lead_to_the_application_are_left_out(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = log
    with pytest.raises(ApplicationError) as caught:
        run(Step("it failed", "", Spec("")), fail)
    logger.error("failed", exc_info=caught.value.__cause__)
    assert "launcher/application.py" not in text.getvalue()
    assert "in fail" in text.getvalue()
    assert text.getvalue().endswith("ValueError: of the application\n")


def test_an_error_of_ours_is_shown_whole(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = log
    namespace = {"__file__": show_own_frames.__code__.co_filename}
    code = compile("def ours():\n    raise ValueError('ours')\nours()\n", namespace["__file__"], "exec")
    with pytest.raises(ValueError) as caught:
        exec(code, namespace)
    trace = caught.value.__traceback__
    logger.error("failed", exc_info=caught.value.with_traceback(trace and trace.tb_next))
    assert "in ours" in text.getvalue()


def test_nothing_that_was_raised(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = log
    logger.error("failed", exc_info=True)
    assert text.getvalue() == "failed\nNoneType: None\n"
