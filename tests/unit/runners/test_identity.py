import os
import pwd

import pytest

from launcher.errors import Exit, LaunchError
from launcher.runners.identity import Identity, become, identity


def test_nobody_is_asked_for() -> None:
    assert identity(None, None) is None


def test_user_brings_group_and_home() -> None:
    account = pwd.getpwnam("nobody")
    expected = Identity(account.pw_uid, account.pw_gid, "nobody", account.pw_dir)
    assert identity("nobody", None) == identity(str(account.pw_uid), None) == expected


def test_group_may_be_another() -> None:
    found = identity("nobody", "0")
    assert found
    assert found.gid == 0


def test_group_alone_keeps_the_user() -> None:
    found = identity(None, "0")
    assert found
    assert (found.uid, found.gid) == (os.geteuid(), 0)


def test_number_without_account_needs_a_group() -> None:
    assert identity("987654", "0") == Identity(987654, 0)
    with pytest.raises(ValueError, match="--group"):
        identity("987654", None)


def test_only_root_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    become(Identity(1000, 1000), {})
    with pytest.raises(LaunchError) as caught:
        become(Identity(1001, 1000, "other"), {})
    assert caught.value.status == Exit.SERVER
