"""What went wrong in the user's code, told to the person who wrote it. Imported only when something did."""

from __future__ import annotations

import os
import sys
import traceback
from itertools import takewhile
from typing import TYPE_CHECKING

from . import application
from .application import ApplicationError, Step, at
from .installed import LIBRARY, OURS, is_installed
from .modules import attributes, file_of

if TYPE_CHECKING:
    from collections.abc import Iterable

VALIDATOR = os.path.join(LIBRARY, "wsgiref", "validate.py")
LONGEST_REASON = 500
ELSEWHERE = (
    "Is it installed in {}? If it lies beside the project, python_path = [...] names the directory that holds it."
)


def failure(step: Step, error: BaseException) -> ApplicationError:
    """Return the ApplicationError for what the user's code raised."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing(step, error, error.name)
    if isinstance(error, SystemExit):
        reason = f"the code called sys.exit({'' if error.code is None else repr(error.code)})"
    else:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        line = text.strip().partition("\n")[0][:LONGEST_REASON].rstrip(".")
        reason = f"{type(error).__name__}: {line}" if line else type(error).__name__
    return ApplicationError(at(step.origin, f"{step.doing}: {reason}{_in_place(error)}."), trace(error))


def _missing(step: Step, error: ModuleNotFoundError, name: str) -> ApplicationError:
    """Tell the module that was asked for from one that it imports."""
    if step.module and _holds(name, step.module):
        return ApplicationError(at(step.origin, f"there is no module {name}. {_nearest(name)}"))
    spec = step.spec
    if spec.settings is not None and _holds(name, spec.settings):
        return ApplicationError(at(spec.settings_origin, f"there is no settings module {name}. {_nearest(name)}"))
    top = name.partition(".")[0]
    fix = _nearest(name) if top != name and top in sys.modules else ELSEWHERE.format(sys.prefix)
    message = f"{step.doing}: it needs the module {name}, which does not exist{_in_place(error)}. {fix}"
    return ApplicationError(at(step.origin, message), trace(error))


def _holds(name: str, module: str) -> bool:
    """Whether `name` is `module` or a package around it."""
    return module == name or module.startswith(f"{name}.")


def _nearest(name: str) -> str:
    """Return where the module was looked for, or what it may have been meant to be."""
    from .errors import closed, did_you_mean

    package, _, last = name.rpartition(".")
    if package:
        parent = sys.modules.get(package)
        folders = list(attributes(parent).get("__path__", ()))
        if parent is not None and not folders:
            return f"{package} is the file {short(file_of(parent))}, not a package."
    else:
        folders = [entry or "." for entry in sys.path if not is_installed(entry)]
    if told := closed(folders, short):
        return told
    near = did_you_mean(last, _modules_in(folders))
    if near:
        return near.replace("'", f"'{package}.", 1) if package else near
    return f"Looked in {', '.join(map(os.path.abspath, folders))}."


def _modules_in(folders: Iterable[str]) -> list[str]:
    found: set[str] = set()
    for folder in folders:
        try:
            entries = os.listdir(folder)
        except OSError:
            continue
        names = (entry.removesuffix(".py") for entry in entries if not entry.startswith("_"))
        found.update(name for name in names if name.isidentifier())
    return sorted(found)


def is_server_exit(error: BaseException) -> bool:
    """Whether a SystemExit comes from a signal handler of the server rather than from the code it loads.

    A worker that is told to stop while it imports is to stop. Source: gunicorn 27.0.1 `Worker.handle_abort`.
    """
    last = error.__traceback__
    if not isinstance(error, SystemExit) or last is None:
        return False
    while last.tb_next is not None:
        last = last.tb_next
    module = str(last.tb_frame.f_globals.get("__name__", ""))
    file = last.tb_frame.f_code.co_filename
    # `run` is where it comes from when the callable has no frame of its own.
    return module.partition(".")[0] == "gunicorn" or (file.startswith(OURS) and file != application.__file__)


def trace(error: BaseException) -> str:
    """Return the traceback as the user would see it without us: our frames and importlib's are cut away."""
    told = traceback.TracebackException.from_exception(error)
    _trim(told)
    if told.stack or told.__cause__ or told.__context__:
        return "".join(told.format())
    return "".join(told.format_exception_only()) if isinstance(error, SyntaxError) else ""


def _trim(told: traceback.TracebackException) -> None:
    frames = [frame for frame in told.stack if not _is_importlib(frame.filename)]
    # Those that lead from the server to the user's code; further down that may well be using us.
    leading = list(takewhile(lambda frame: not is_own(frame.filename), frames))
    ours = [number for number, frame in enumerate(leading, 1) if frame.filename.startswith((OURS, VALIDATOR))]
    del frames[: max(ours, default=0)]
    told.stack = traceback.StackSummary.from_list(frames)
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if other is not None:
            _trim(other)


def _is_importlib(filename: str) -> bool:
    return filename.startswith("<frozen ") or filename.endswith(("importlib/__init__.py", "importlib\\__init__.py"))


def _in_place(error: BaseException) -> str:
    where = place(error)
    return f" ({where})" if where else ""


def place(error: BaseException) -> str:
    """Return `file:line` of the user's own code nearest to the error; empty where none of it ran."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{short(error.filename)}:{error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not _is_importlib(frame.filename) and not frame.filename.startswith(OURS)
    ]
    own = [frame for frame in frames if not is_installed(frame.filename)] or frames
    return f"{short(own[-1].filename)}:{own[-1].lineno}" if own else ""


def files(error: BaseException) -> list[str]:
    """Return the project's files that an error and those that led to it name: an edit of one may mend it."""
    found: dict[str, None] = {}
    seen: list[BaseException] = []
    errors: list[BaseException | None] = [error]
    while errors:
        each = errors.pop()
        if each is None or each in seen:
            continue
        seen.append(each)
        names = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(each.__traceback__)]
        if isinstance(each, SyntaxError):
            names.append(each.filename or "")
        found.update((os.path.abspath(name), None) for name in names if name and is_own(name))
        errors += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return list(found)


def is_own(filename: str) -> bool:
    """Whether a file is the project's."""
    return not (filename.startswith("<") or is_installed(filename))


def short(path: str) -> str:
    """Return a path as a person in the working directory would type it."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):
        return path
    return path if relative.startswith(os.pardir) else relative


def sudden_end(status: int) -> ApplicationError:
    """Return what is said of a worker that could not say it: by its exit status, or the negative number of a signal."""
    from .supervise.children import how_it_ended

    return ApplicationError(f"a worker {how_it_ended(status)} while it loaded the application.")


def tell(error: ApplicationError) -> None:
    """Tell the development loop; without one, write the report to stderr in one piece, for workers' not to mix."""
    from .develop.channel import FAILURE, Channel
    from .develop.standing import be_sure, waits
    from .supervise.notices import has_the_word

    channel = Channel.of(os.environ)
    if channel is not None:
        if waits():
            return
        be_sure()
        try:
            channel.tell(FAILURE, {"message": error.message, "trace": error.trace, "files": files(error)})
        except OSError:
            pass  # the loop has gone
        else:
            return
    if not has_the_word():
        return
    data = error.report().encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(2, data) :]
    except OSError:
        return  # nobody listens: the exit status still tells
