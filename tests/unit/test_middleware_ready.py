"""launcher.middleware.ready: what a balancer is told."""

from pathlib import Path
from wsgiref.validate import validator

from launcher.middleware.ready import tell_readiness
from tests.exchange import call, hello, make_environ


def test_answers_for_its_path_alone_until_the_server_drains(tmp_path: Path) -> None:
    draining = tmp_path / "draining"
    app = tell_readiness(hello, "/-/ready", str(draining))
    check = validator(app)
    assert call(app, make_environ(PATH_INFO="/")).body == b"hello"
    assert call(check, make_environ(PATH_INFO="/-/ready")).status == "200 OK"
    draining.touch()
    answer = call(check, make_environ(PATH_INFO="/-/ready"))
    assert (answer.status, answer.header["Cache-Control"]) == ("503 Service Unavailable", "no-store")
    assert call(app, make_environ(PATH_INFO="/")).body == b"hello"


def test_without_a_record_it_is_ready_while_it_answers() -> None:
    assert call(tell_readiness(hello, "/ready", ""), make_environ(PATH_INFO="/ready")).status == "200 OK"
