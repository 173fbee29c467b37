"""Users and groups of this machine."""


def user_id(name: str) -> int | None:
    """Return the number of a user given by name or number; None if there is none."""
    import pwd  # where an account is named at all

    try:
        return int(name) if name.isascii() and name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def group_id(name: str) -> int | None:
    """Return the number of a group given by name or number; None if there is none."""
    import grp

    try:
        return int(name) if name.isascii() and name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def own_group(user: str) -> int | None:
    """Return the number of a user's own group; None for a user without an account."""
    import pwd

    try:
        number = user.isascii() and user.isdigit()
        return (pwd.getpwuid(int(user)) if number else pwd.getpwnam(user)).pw_gid
    except KeyError:
        return None
