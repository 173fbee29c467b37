"""What systemd itself reads from the words that we quote."""

import json
import random

import pytest

from launcher.quoting import systemd_value, systemd_word

from .lab import PYTHON, Lab

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

PROGRAM = "import json, sys; json.dump(sys.argv[1:], open(sys.argv[0], 'w'))"
TRICKY = [
    "",
    ";",
    "-",
    "@x",
    "!x",
    "+x",
    "%",
    "%%",
    "%i",
    "$",
    "$$",
    "$HOME",
    "${HOME}",
    "\\",
    "\\x41",
    "a b",
    " ",
    "\n",
    "#",
    "'",
    '"',
]


def test_words_reach_a_program_as_they_were(booted: Lab) -> None:
    """Thousands of words in one command line: a law that asks systemd."""
    chance = random.Random(0)
    letters = [chr(number) for number in range(1, 0x250)] + list("%$\\\"'; \n\t{}\u2028\ufeff\U0001f600" * 20)
    words = [*TRICKY, *("".join(chance.choices(letters, k=chance.randint(0, 12))) for _ in range(3000))]
    start = " ".join(map(systemd_word, (str(PYTHON), "/run/words.py", *words)))
    booted.path("/run/words.py").write_text(PROGRAM.replace("sys.argv[0]", "'/run/words.json'"))
    unit = booted.path("/run/systemd/system/words.service")
    unit.write_text(f"[Service]\nType=oneshot\nExecStart=:{start}\n")
    booted.systemctl("daemon-reload")
    booted.systemctl("start", "words.service")
    assert json.loads(booted.path("/run/words.json").read_text()) == words
    unit.unlink()
    booted.systemctl("daemon-reload")


def test_values_that_are_taken_whole(booted: Lab) -> None:
    """A directory, a credential and a socket below a path that holds whatever a path may hold."""
    directory = '/run/a b %i%% $HOME ${X} \\x41\\ "q" \'é;#\u2028'
    booted.path(directory).mkdir()
    booted.path(f"{directory}/secret").write_text("kept")
    program = (
        "import json, os, socket\n"
        "secret = open(os.environ['CREDENTIALS_DIRECTORY'] + '/x').read()\n"
        "told = [os.getcwd(), secret, socket.socket(fileno=3).getsockname()]\n"
        "json.dump(told, open('/run/values.json', 'w'))\n"
    )
    booted.path("/run/values.py").write_text(program)
    value = systemd_value(directory)
    service, socket = (booted.path(f"/run/systemd/system/values.{kind}") for kind in ("service", "socket"))
    socket.write_text(f"[Socket]\nListenStream={value}/s\n")
    service.write_text(
        f"[Service]\nType=oneshot\nWorkingDirectory={value}\nLoadCredential=x:{value}/secret\n"
        f"ExecStart={PYTHON} /run/values.py\n"
    )
    booted.systemctl("daemon-reload")
    booted.systemctl("start", "values.socket", "values.service")
    assert json.loads(booted.path("/run/values.json").read_text()) == [directory, "kept", f"{directory}/s"]
    booted.systemctl("stop", "values.socket")
    service.unlink()
    socket.unlink()
    booted.systemctl("daemon-reload")


def test_a_reload_is_told_the_main_process(booted: Lab) -> None:
    """`$` is doubled where a line needs a variable, as ExecReload= does."""
    booted.path("/run/reload.py").write_text(PROGRAM.replace("sys.argv[0]", "'/run/reload.json'"))
    words = " ".join(systemd_word(word).replace("$", "$$") for word in TRICKY)
    unit = booted.path("/run/systemd/system/reload.service")
    unit.write_text(
        f"[Service]\nExecStart=/bin/sleep infinity\nExecReload={PYTHON} /run/reload.py {words} --pid=${{MAINPID}}\n"
    )
    booted.systemctl("daemon-reload")
    booted.systemctl("start", "reload.service")
    booted.systemctl("reload", "reload.service")
    main = booted.shown("reload.service", "MainPID")["MainPID"]
    assert json.loads(booted.path("/run/reload.json").read_text()) == [*TRICKY, f"--pid={main}"]
    booted.systemctl("stop", "reload.service")
    unit.unlink()
    booted.systemctl("daemon-reload")


def test_variables_hold_what_was_quoted(booted: Lab) -> None:
    program = "import json, os; json.dump(os.environ['WORD'], open('/run/variable.json', 'w'))"
    booted.path("/run/variable.py").write_text(program)
    word = "".join(TRICKY)
    unit = booted.path("/run/systemd/system/variable.service")
    unit.write_text(
        f"[Service]\nType=oneshot\nEnvironment={systemd_word('WORD=' + word)}\nExecStart={PYTHON} /run/variable.py\n"
    )
    booted.systemctl("daemon-reload")
    booted.systemctl("start", "variable.service")
    assert json.loads(booted.path("/run/variable.json").read_text()) == word
    unit.unlink()
    booted.systemctl("daemon-reload")
