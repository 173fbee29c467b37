"""What `serve profiles` lists."""

import json
from pathlib import Path

import pytest

from launcher.cli import main
from tests.machine import write_tree

FILES = {
    "profiles/prod.toml": "threads = 2\n",
    "profiles/alone.toml": "extends = []\n",
    "profiles/shop.toml": 'extends = ["prod", "base.toml"]\n',
    "profiles/base.toml": "",
    "profiles/directory.toml/notes": "",
}


def profiles(root: Path, *argv: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["profiles", "--chdir", str(root), *argv], {})
    told = capsys.readouterr()
    return status, told.out, told.err


def test_a_profile_is_listed_with_what_it_extends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write_tree(tmp_path, FILES))
    status, out, _ = profiles(tmp_path, "--format", "json", capsys=capsys)
    assert status == 0
    assert json.loads(out) == {
        "alone": ["profiles/alone.toml"],
        "base": ["profiles/base.toml"],
        "container": ["container.toml (shipped)", "profiles/prod.toml", "prod.toml (shipped)"],
        "dev": ["dev.toml (shipped)"],
        "prod": ["profiles/prod.toml", "prod.toml (shipped)"],
        "shop": ["profiles/shop.toml", "profiles/base.toml", "profiles/prod.toml", "prod.toml (shipped)"],
    }
    _, out, _ = profiles(tmp_path, capsys=capsys)
    assert "prod        profiles/prod.toml over prod.toml (shipped)\n" in out


def test_a_profile_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write_tree(tmp_path, {**FILES, "profiles/base.toml": "threads = \n"}))
    (tmp_path / "profiles" / "loop.toml").symlink_to("loop.toml")
    status, out, err = profiles(tmp_path, capsys=capsys)
    assert status == 3
    assert "base        profiles/base.toml\n" in out
    assert "prod        profiles/prod.toml over" in out
    assert err.count("serve: profiles/base.toml:1: malformed TOML") == 1
    assert err.count("serve: profiles/loop.toml: cannot be read: Too many levels of symbolic links") == 1
