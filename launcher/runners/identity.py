"""The user and group a runner becomes."""

import os
import pwd
from collections.abc import MutableMapping
from typing import NamedTuple

from ..accounts import group_id, user_id
from ..errors import Exit, Finding, LaunchError


class Identity(NamedTuple):
    """A user and group to run as."""

    uid: int
    gid: int
    name: str = ""
    """Empty for a number without an account."""
    home: str = ""


def identity(user: str | None, group: str | None) -> Identity | None:
    """Return whom to become, each given by name or number; None where neither is asked for.

    Without a user it is the present one; without a group, the user's own. Raises ValueError with a sentence.
    """
    if user is None and group is None:
        return None
    uid = os.geteuid() if user is None else user_id(user)
    if uid is None:
        raise ValueError(f"there is no user '{user}'")
    gid = None
    if group is not None and (gid := group_id(group)) is None:
        raise ValueError(f"there is no group '{group}'")
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        if gid is None:
            raise ValueError(f"user {uid} has no account, and so no group: say which with --group") from None
        return Identity(uid, gid)
    return Identity(uid, account.pw_gid if gid is None else gid, account.pw_name, account.pw_dir)


def become(who: Identity, environ: MutableMapping[str, str]) -> None:
    """Change to a user with all its groups and its HOME: for good once `give_up_root` is called.

    Does nothing where the process is that user already. Raises LaunchError where it may not change.
    """
    if os.geteuid() != 0:
        if (who.uid, who.gid) == (os.geteuid(), os.getegid()):
            return
        message = f"cannot become user {who.name or who.uid}: only root can"
        raise LaunchError(Finding("user-refused", message, "Start as root, or leave user out.", status=Exit.SERVER))
    if who.name:
        os.initgroups(who.name, who.gid)
        environ.update(HOME=who.home, USER=who.name, LOGNAME=who.name)
    else:
        os.setgroups([who.gid])
    # The group first: without the user's rights it can no longer be changed.
    os.setgid(who.gid)
    os.setresuid(who.uid, who.uid, 0)


def give_up_root() -> None:
    """Make the user we are the only one that this process can be."""
    if os.getresuid()[2] != os.geteuid():  # a sandbox may forbid the call itself
        os.setresuid(-1, -1, os.geteuid())


def take_up_root() -> None:
    """Be root again in the process that became another user, and in none that it made."""
    if os.getresuid()[2] == 0:
        os.seteuid(0)
