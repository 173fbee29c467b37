"""What is written down, and where."""

import re

from ..kit import Check, Kit
from ..serving import Serving, same, wait_for_text

ASKED = ("GET /stream?pieces=3 ", "POST /echo ", "GET /missing ")
"""What is written down after the answer, and so in any order."""


def requests_are_logged_to_standard_output(kit: Kit) -> None:
    # The server's own messages going elsewhere do not take these along.
    with kit.serve({"log_file": "PUBLIC/server.log"}) as serving:
        ask_some(serving)
        wait_for_text(serving.stdout, ASKED, serving)
        assert_one_line_each(serving.stdout.read_text())


def requests_are_logged_briefly(kit: Kit) -> None:
    with kit.serve() as serving:
        ask_some(serving)
        said = wait_for_text(serving.stdout, ASKED, serving)
        for words in (r"GET /stream\?pieces=3 200 6 B", r"POST /echo 200 5 B", r"GET /missing 404 13 B"):
            line = rf"^\d\d:\d\d:\d\d {words} [\d.]+ m?s$"
            same(len(re.findall(line, said, re.MULTILINE)), 1, f"lines for {words} in\n{said}")


def requests_are_logged_to_a_file(kit: Kit) -> None:
    path = kit.public / "access.log"
    with kit.serve({"max_body_size": 1000}) as serving:
        ask_some(serving)
        wait_for_text(path, ASKED, serving)
        assert_one_line_each(path.read_text())
        serving.request("/refused", method="POST", body=b"x" * 1001)
        said = wait_for_text(path, ["POST /refused "], serving)
        assert '"POST /refused HTTP/1.1" 413 ' in said, f"a body that is too long is not logged:\n{said}"
        assert "GET /stream" not in serving.output, "requests are logged elsewhere too"


def requests_are_not_logged(kit: Kit) -> None:
    with kit.serve() as serving:
        ask_some(serving)
        serving.stop_cleanly()
        assert "/stream" not in serving.output, "requests are logged"


def ask_some(serving: Serving) -> None:
    serving.request("/stream?pieces=3", "User-Agent: kit")
    serving.request("/echo", method="POST", body=b"12345")
    serving.request("/missing")


def assert_one_line_each(text: str) -> None:
    lines = [line for line in text.splitlines() if "HTTP/1.1" in line]
    for word, status in zip(ASKED, (200, 200, 404), strict=True):
        found = [line for line in lines if word in line]
        assert len(found) == 1, f"{len(found)} lines for {word}:\n{text}"
        assert f'HTTP/1.1" {status} ' in found[0], f"the status is not {status}: {found[0]}"
        assert found[0].startswith("127.0.0.1 "), f"the client is not named: {found[0]}"


def messages_below_the_level_are_left_out(kit: Kit) -> None:
    with kit.serve() as quiet:
        quiet.report()
        quiet.stop_cleanly()
        assert quiet.messages == "", "messages below critical"
    with kit.serve(asks={"log_level": "info"}) as talkative:
        talkative.report()
        talkative.stop_cleanly()
        assert talkative.messages, "no message at level info"


def messages_go_to_standard_output(kit: Kit) -> None:
    with kit.serve({"log_level": "info"}) as serving:
        serving.report()
        serving.stop_cleanly()
        assert serving.messages == "", "messages on standard error"
        assert serving.stdout.read_text(), "no message on standard output"


def messages_go_to_a_file(kit: Kit) -> None:
    path = kit.public / "server.log"
    with kit.serve({"log_level": "info"}) as serving:
        serving.report()
        serving.stop_cleanly()
        assert path.read_text(), "no message in the file"
        assert serving.stdout.read_text() + serving.messages == "", "messages elsewhere"


CHECKS = (
    Check("access-log-stdout", {"access_log": "-"}, requests_are_logged_to_standard_output),
    Check("access-log-short", {"access_log": "-", "access_log_format": "short"}, requests_are_logged_briefly),
    Check("access-log-file", {"access_log": "PUBLIC/access.log"}, requests_are_logged_to_a_file),
    Check("access-log-off", {"access_log": "off"}, requests_are_not_logged),
    Check("log-level", {"log_level": "critical"}, messages_below_the_level_are_left_out),
    Check("log-file-stdout", {"log_file": "-"}, messages_go_to_standard_output),
    Check("log-file", {"log_file": "PUBLIC/server.log"}, messages_go_to_a_file),
)
