"""Write one line for every answer, in the combined log format with the time taken at the end."""

from __future__ import annotations

import os
from time import gmtime, monotonic_ns, time
from typing import TYPE_CHECKING

from .proxies import UNIX_PEERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import TypeAlias
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# All fields together stay below PIPE_BUF (4096), up to which a pipe takes a write in one piece (pipe(7)):
# several workers share stdout, and no client may break its line in two.
LONGEST_REQUEST = 2048
LONGEST_FIELD = 768
LONGEST_NAME = 128


def log_access(app: WSGIApplication, destination: str) -> WSGIApplication:
    """Log each answer to a file, or to stdout for `-`, when the server closes it.

    In Apache's words: `%h - %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %D`, where %h is `-` for a unix
    socket, the time is that of the end and UTC (Django changes the local one to its TIME_ZONE), %b what the
    application gave to the server, and %D the microseconds until the answer was closed.
    Raises OSError where the file cannot be opened.
    """
    return watch(app, LogFile(destination), Exchange)


def watch(app: WSGIApplication, log: LogFile, exchange_of: type[Exchange]) -> WSGIApplication:
    """Give each request an exchange of its own, which logs it."""

    def logged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        exchange = exchange_of(log, environ, start_response)
        try:
            result = app(environ, exchange.start)
        except BaseException:
            exchange.close()
            raise
        return exchange.hand_on(result)

    return logged


class Exchange:
    """One request with its answer: counts what passes and logs it at the end."""

    __slots__ = (
        "_began",
        "_close_body",
        "_closed",
        "_environ",
        "_fields",
        "_headers",
        "_is_file",
        "_log",
        "_method",
        "_result",
        "_sent",
        "_start_response",
        "_status",
        "_write",
    )

    def __init__(self, log: LogFile, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self._began = monotonic_ns()
        self._log = log
        self._environ = environ
        get = environ.get
        # Read now: what is inside may rewrite the environ. Only REMOTE_USER is for the inside to find out.
        self._method = method = get("REQUEST_METHOD", "")
        self._fields = (
            get("REMOTE_ADDR", ""),
            f"{method} {get('RAW_URI') or get('REQUEST_URI') or _uri(environ)} {get('SERVER_PROTOCOL', '')}",
            get("HTTP_REFERER", ""),
            get("HTTP_USER_AGENT", ""),
        )
        self._start_response = start_response
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._is_file = False
        self._result: Iterable[bytes] = ()
        self._close_body: Callable[[], object] | None = None
        self._sent = 0
        self._closed = False

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo = None, /
    ) -> Callable[[bytes], object]:
        if exc_info:
            self._write = self._start_response(status, headers, exc_info)
        else:
            self._write = self._start_response(status, headers)
        self._status = status
        self._headers = headers
        return self.write

    def write(self, data: bytes) -> None:
        self._write(data)
        self._sent += len(data)

    def hand_on(self, result: Iterable[bytes]) -> Iterable[bytes]:
        """Return what the server is given for `result`: the file itself where it may want to send one."""
        self._close_body = getattr(result, "close", None)
        if is_file(result, self._environ.get("wsgi.file_wrapper")):
            try:
                result.close = self.close  # type: ignore[attr-defined]  # Django does the same to the file
            except AttributeError:
                pass  # the server will read it then
            else:
                self._is_file = True
                return result
        self._result = result
        # Servers take the length of a list with one item for the Content-Length.
        return Sized(self) if hasattr(result, "__len__") else self

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._result:
            self._sent += len(chunk)
            yield chunk

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._close_body is not None:
                self._close_body()
        finally:
            # An application that fails before it starts is a 500 of the server.
            status = self._status[:3] if is_number(self._status[:3]) else "500"
            sent = "-" if self._method == "HEAD" else self._sent or (self._file_size() if self._is_file else "-")
            self._log.write(self._line(status, sent, (monotonic_ns() - self._began) // 1000))

    def _line(self, status: str, sent: int | str, took_us: int) -> str:
        address, request, referer, agent = self._fields
        # One look at all of them: nearly every request is plain, and then there is nothing to escape or to cut.
        if " " in address or not is_plain(f"{address}{request}{referer}{agent}"):
            address = escape(address, LONGEST_NAME, " ")
            request = escape(request, LONGEST_REQUEST)
            referer = escape(referer, LONGEST_FIELD)
            agent = escape(agent, LONGEST_FIELD)
        user = self._environ.get("REMOTE_USER")
        return (
            f"{'-' if address in UNIX_PEERS else address} - {escape(str(user), LONGEST_NAME, ' ') if user else '-'} "
            f'[{self._log.stamp(int(time()))}] "{request}" {status} {sent} "{referer or "-"}" "{agent or "-"}" '
            f"{took_us}\n"
        )

    def _file_size(self) -> str:
        """Return the announced size of a file that the server reads by itself."""
        for name, value in self._headers:
            if name.lower() == "content-length" and is_number(value):
                return value
        return "-"


class Sized:
    """The body of an exchange, with the length of what the application returned."""

    __slots__ = ("_exchange", "close")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.close = exchange.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._exchange)

    def __len__(self) -> int:
        return len(self._exchange._result)  # type: ignore[arg-type]  # hand_on() has asked


def is_file(result: object, wrapper: object) -> bool:
    """Whether `result` came from wsgi.file_wrapper: its instance, or, with uWSGI 2.0.30, the file itself."""
    if wrapper is None:
        return False
    return isinstance(result, wrapper) if isinstance(wrapper, type) else hasattr(result, "read")


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _uri(environ: WSGIEnvironment) -> str:
    """Put the address together where the server (wsgiref) does not keep it."""
    from urllib.parse import quote

    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    query = environ.get("QUERY_STRING", "")
    return quote(path, "/~!$&'()*+,;=:@", "latin-1", "replace") + (f"?{query}" if query else "")


def is_plain(text: str) -> bool:
    """Whether `text` is short, and neither ends a field nor a line."""
    return len(text) <= LONGEST_FIELD and text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def escape(text: str, limit: int, also: str = "") -> str:
    r"""Return at most `limit` characters of plain ASCII that end no field and no line.

    `"` and `\` get a backslash, everything else that is not printable ASCII becomes `\x0a` or `\u2028`;
    so does the character `also`. What was cut off ends in `...`.
    """
    pieces = [_escaped(character, also) for character in text[: limit + 1]]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    kept, left = 0, limit - 3
    while len(pieces[kept]) <= left:
        left -= len(pieces[kept])
        kept += 1
    return "".join(pieces[:kept]) + "..."


def _escaped(character: str, also: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~" and character != also:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class LogFile:
    """Where the lines go: one write for each, to a file that may be moved away at any time."""

    def __init__(self, destination: str) -> None:
        self._path = "" if destination == "-" else destination
        self._fd = self._open() if self._path else 1
        self._stamp = (-1, "")
        self._torn = False
        self._failing = False

    def write(self, line: str) -> None:
        """Write a line. A log that cannot be written is told once to stderr and stops no request."""
        data = line.encode("ascii")
        try:
            # After half a line the next one would be taken for its end.
            written = os.write(self._fd, b"\n" + data if self._torn else data)
        except OSError as error:
            self._complain(error)
            return
        self._torn = written != len(data) + self._torn
        self._failing = False

    def stamp(self, second: int) -> str:
        """Return the time as the lines have it."""
        known, text = self._stamp
        if known != second:
            if self._path:
                self._follow()
            text = self._time(second)
            self._stamp = (second, text)
        return text

    def _time(self, second: int) -> str:
        """Return the time as `10/Oct/2000:13:55:36 +0000`."""
        now = gmtime(second)
        date = f"{now.tm_mday:02d}/{MONTHS[now.tm_mon - 1]}/{now.tm_year}"
        return f"{date}:{now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d} +0000"

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def _follow(self) -> None:
        """Open the file anew where it was moved or removed, as logrotate does; looked at once a second."""
        try:
            try:
                there = os.stat(self._path)
            except FileNotFoundError:
                there = None
            if there is None or not os.path.samestat(there, os.fstat(self._fd)):
                fresh = self._open()
                # The number stays the same: another thread may be about to write to it.
                os.dup2(fresh, self._fd, inheritable=False)
                os.close(fresh)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            name = self._path or "stdout"
            text = f"serve: the access log {name} cannot be written: {error.strerror}; lines are lost.\n"
            try:
                os.write(2, text.encode("utf-8", "backslashreplace"))
            except OSError:
                return
