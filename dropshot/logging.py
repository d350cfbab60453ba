"""Logs in upstream's two forms: bunyan JSON lines in a file, readable lines on a terminal.

    Aug 12 20:16:25.405 INFO listening, local_addr: [::1]:12223, component: dropshot_internal, name: a4ef738a-…

A line is a fixed sentence plus fields. Its own fields come first, in the order written; then those bound to the
logger, the innermost first. Every call writes one whole line with one `write(2)`. A log that cannot be written
(terminal gone, disk full) stops nobody: the line is lost.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO, cast

import msgspec

# structlog looks for rich in order to draw tracebacks in a renderer that is not used here. Letting it find rich costs
# 60 ms of every start of a server, against 17 ms for structlog itself.
if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog
    finally:
        del sys.modules["rich"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence

LogLevel = Literal["trace", "debug", "info", "warn", "error", "critical"]

_MINIMUM: dict[LogLevel, str] = {
    "trace": "notset",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "error": "error",
    "critical": "critical",
}
_TERMINAL_NAME = {"debug": "DEBG", "info": "INFO", "warning": "WARN", "error": "ERRO", "critical": "CRIT"}
_TERMINAL_COLOUR = {"DEBG": "36", "INFO": "32", "WARN": "33", "ERRO": "31", "CRIT": "35"}
_CLOSED = -1
_BUNYAN_LEVEL = {"debug": 20, "info": 30, "warning": 40, "error": 50, "critical": 60}


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section `[log]` of a configuration file. `path` goes with mode `file`, and only with it."""

    level: LogLevel = "info"
    mode: Literal["stderr-terminal", "file"] = "stderr-terminal"
    path: str | None = None
    if_exists: Literal["fail", "truncate", "append"] | None = None

    def __post_init__(self) -> None:
        if self.mode == "file" and self.path is None:
            raise ValueError('mode "file" needs a path')
        if self.mode != "file" and (self.path is not None or self.if_exists is not None):
            raise ValueError('path and if_exists go with mode "file" only')


class Log(Protocol):
    """What the rest of the code may ask of a logger."""

    def bind(self, **fields: Any) -> Log: ...
    def debug(self, sentence: str, /, **fields: Any) -> Any: ...
    def info(self, sentence: str, /, **fields: Any) -> Any: ...
    def warning(self, sentence: str, /, **fields: Any) -> Any: ...
    def error(self, sentence: str, /, **fields: Any) -> Any: ...
    def critical(self, sentence: str, /, **fields: Any) -> Any: ...

    def exception(self, sentence: str, /, **fields: Any) -> Any:
        """An error with the exception in hand: its whole chain is in the line."""


class LogFileError(Exception):
    """A log file that cannot be opened. One line for the user, naming the file."""


def open_log(config: LogConfig, *, name: str) -> Log:
    """A logger as `config` says, with `name` bound to it, for as long as the process lives: its file stays open.

    Raises LogFileError.
    """
    if config.mode == "stderr-terminal":
        colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        return log_to(sys.stderr, level=config.level, form=TerminalForm(colour=colour), name=name)
    return _log(_LogFile(config).write, config.level, BunyanForm(), name)


@contextlib.contextmanager
def log_file(config: LogConfig, *, name: str) -> Iterator[Log]:
    """The logger that `open_log` gives for mode `file`, whose file is closed on exit. Lines after that are lost.

    Raises LogFileError.
    """
    file = _LogFile(config)
    try:
        yield _log(file.write, config.level, BunyanForm(), name)
    finally:
        file.close()


class _LogFile:
    """The file of a `config` of mode `file`, created with mode 0644 if need be."""

    def __init__(self, config: LogConfig) -> None:
        if config.path is None:
            raise ValueError('only mode "file" has a file')
        how = {"fail": os.O_EXCL, "truncate": os.O_TRUNC, "append": 0, None: os.O_EXCL}[config.if_exists]
        try:
            self._fd = os.open(config.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | how, 0o644)
        except FileExistsError:
            message = f'log file {config.path} exists; if_exists = "append" or "truncate" would use it'
            raise LogFileError(message) from None
        except OSError as exc:
            raise LogFileError(f"cannot open log file {config.path}: {exc.strerror}") from exc

    def write(self, line: str) -> None:
        if self._fd != _CLOSED:  # else the number may be another file's by now
            os.write(self._fd, line.encode(errors="backslashreplace"))

    def close(self) -> None:
        fd, self._fd = self._fd, _CLOSED
        os.close(fd)


def log_to(stream: TextIO, *, level: LogLevel = "trace", form: Form, name: str | None = None) -> Log:
    """A logger that writes lines of `form` to `stream`, which stays the caller's."""

    def write(line: str) -> None:
        stream.write(line)
        stream.flush()

    return _log(write, level, form, name)


def _log(write: Callable[[str], object], level: LogLevel, form: Form, name: str | None) -> Log:
    logger_class = _logger_class(level)
    inherited = {} if name is None else {"name": name}
    return cast("Log", logger_class(_Lines(write), [_resolve_exception, form], inherited))


class TerminalForm:
    """`Mon DD HH:MM:SS.mmm LEVL sentence, key: value, …` in local time. A text of several lines follows, indented."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        sentence = str(event.pop("event"))
        level = _TERMINAL_NAME[method]
        now = datetime.now()
        stamp = f"{now:%b %d %H:%M:%S}.{now.microsecond // 1000:03d}"
        blocks: list[str] = []
        fields = [self._bold(sentence)]
        for key, value in event.items():
            text = _text(value)
            if "\n" in text:
                blocks.extend(f"    {line}" for line in (f"{key}:", *text.rstrip("\n").split("\n")))
            else:
                fields.append(f"{self._bold(key)}: {text}")
        shown_level = f"\x1b[{_TERMINAL_COLOUR[level]}m{level}\x1b[0m" if self._colour else level
        return "".join(f"{line}\n" for line in (f"{stamp} {shown_level} {', '.join(fields)}", *blocks))

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self._colour else text


class BunyanForm:
    """One JSON object: msg, v, name, level, time (RFC 3339, UTC), hostname, pid, then the fields."""

    def __init__(self) -> None:
        self._hostname = socket.gethostname()
        self._pid = os.getpid()

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        record: dict[str, Any] = {
            "msg": event.pop("event"),
            "v": 0,
            "name": event.pop("name", ""),
            "level": _BUNYAN_LEVEL[method],
            "time": datetime.now(UTC),
            "hostname": self._hostname,
            "pid": self._pid,
        }
        record.update((key, _plain(value)) for key, value in event.items())
        return f"{msgspec.json.encode(record).decode()}\n"


Form = TerminalForm | BunyanForm


class _Lines:
    """The end of the chain: each method of it, one for a level, writes a line."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._sink = write

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream was closed
            self._sink(line)

    debug = info = warning = error = critical = _write


def _logger_class(level: LogLevel) -> Callable[[_Lines, Sequence[Any], Mapping[str, Any]], object]:
    filtering: Any = structlog.make_filtering_bound_logger(_MINIMUM[level])

    class OwnFieldsFirst(filtering):  # type: ignore[misc]
        """structlog puts what is bound before what the call says; upstream does the reverse."""

        def _process_event(self, method_name: str, event: str | None, event_kw: dict[str, Any]) -> Any:
            exc_info = event_kw.pop("exc_info", None)
            merged = {**event_kw, **{k: v for k, v in reversed(self._context.items()) if k not in event_kw}}
            if exc_info:
                merged["exc_info"] = exc_info
            merged["event"] = event
            line: Any = merged
            for step in self._processors:
                line = step(self._logger, method_name, line)
            return (line,), {}

    return cast("Callable[[_Lines, Sequence[Any], Mapping[str, Any]], object]", OwnFieldsFirst)


def _resolve_exception(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    exc_info = event.pop("exc_info", None)
    error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1] if exc_info else None
    if error is not None:
        event["exception"] = "".join(traceback.format_exception(error))
    return event


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        return msgspec.json.encode(_plain(value)).decode()
    return str(value)


def _plain(value: object) -> object:
    """`value` as JSON has it: what JSON has no word for becomes text, so that an id or address reads as elsewhere."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return str(value)
