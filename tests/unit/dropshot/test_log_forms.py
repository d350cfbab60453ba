"""The two forms of a log line."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pytest

from dropshot.address import SocketAddr
from dropshot.logging import BunyanForm, LogConfig, LogFileError, TerminalForm, log_file, log_to, open_log

if TYPE_CHECKING:
    from pathlib import Path

NEXUS_ID = "a4ef738a-1fb0-47b1-9da2-4919c7ec7c7f"


def terminal_lines(stream: io.StringIO) -> list[str]:
    return [
        re.sub(r"^[A-Z][a-z]{2} [0-9]{2} [0-9:]{8}\.[0-9]{3} ", "STAMP ", line)
        for line in stream.getvalue().split("\n")
    ]


def test_terminal_line_as_upstream_writes_it() -> None:
    stream = io.StringIO()
    log = log_to(stream, form=TerminalForm(colour=False), name=NEXUS_ID).bind(component="dropshot_internal")
    log.info("listening", local_addr=SocketAddr("::1", 12223))
    assert terminal_lines(stream) == [
        f"STAMP INFO listening, local_addr: [::1]:12223, component: dropshot_internal, name: {NEXUS_ID}",
        "",
    ]


def test_own_fields_come_first_then_inherited_innermost_first() -> None:
    stream = io.StringIO()
    log = log_to(stream, form=TerminalForm(colour=False), name="n").bind(outer=1).bind(middle=2, inner=3)
    log.warning("sentence", zulu=1, alpha=2, outer="own")
    assert (
        terminal_lines(stream)[0] == "STAMP WARN sentence, zulu: 1, alpha: 2, outer: own, inner: 3, middle: 2, name: n"
    )


def test_values_in_a_terminal_line() -> None:
    stream = io.StringIO()
    log = log_to(stream, form=TerminalForm(colour=False))
    log.critical("x", none=None, yes=True, id=UUID(int=1), many=[UUID(int=2), "b"], text="one\ntwo\n", after=1)
    assert terminal_lines(stream) == [
        "STAMP CRIT x, none: null, yes: true, id: 00000000-0000-0000-0000-000000000001, "
        'many: ["00000000-0000-0000-0000-000000000002","b"], after: 1',
        "    text:",
        "    one",
        "    two",
        "",
    ]


def test_colour_touches_level_sentence_and_keys_only() -> None:
    stream = io.StringIO()
    log_to(stream, form=TerminalForm(colour=True)).error("sentence", key="value")
    line = stream.getvalue()
    assert "\x1b[31mERRO\x1b[0m \x1b[1msentence\x1b[0m, \x1b[1mkey\x1b[0m: value" in line


def test_bunyan_line() -> None:
    stream = io.StringIO()
    log = log_to(stream, form=BunyanForm(), name=NEXUS_ID).bind(component="c")
    log.debug("sentence", saga_id=UUID(int=1), addr=SocketAddr("127.0.0.1", 1), n=3, nothing=None)
    record = json.loads(stream.getvalue())
    assert stream.getvalue().endswith("}\n")
    assert list(record)[:7] == ["msg", "v", "name", "level", "time", "hostname", "pid"]
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]+Z", record.pop("time"))
    assert record.pop("hostname")
    assert record == {
        "msg": "sentence",
        "v": 0,
        "name": NEXUS_ID,
        "level": 20,
        "pid": os.getpid(),
        "saga_id": "00000000-0000-0000-0000-000000000001",
        "addr": "127.0.0.1:1",
        "n": 3,
        "nothing": None,
        "component": "c",
    }


def test_an_exception_is_logged_with_its_whole_chain() -> None:
    stream = io.StringIO()
    log = log_to(stream, form=BunyanForm())
    try:
        try:
            raise ValueError("the cause")
        except ValueError as exc:
            raise RuntimeError("the effect") from exc
    except RuntimeError:
        log.exception("it failed", saga_id=1)
    record = json.loads(stream.getvalue())
    assert record["level"] == 50
    assert "ValueError: the cause" in record["exception"]
    assert "RuntimeError: the effect" in record["exception"]
    assert "exc_info" not in record


@pytest.mark.parametrize(
    ("level", "shown"),
    [("trace", "DIWEC"), ("debug", "DIWEC"), ("info", "IWEC"), ("warn", "WEC"), ("error", "EC"), ("critical", "C")],
)
def test_levels(level: str, shown: str) -> None:
    stream = io.StringIO()
    log = log_to(stream, level=msgspec.convert({"level": level}, LogConfig).level, form=TerminalForm(colour=False))
    for method in (log.debug, log.info, log.warning, log.error, log.critical):
        method("x")
    assert "".join(line.split()[1][0] for line in terminal_lines(stream)[:-1]) == shown


def test_file_mode(tmp_path: Path) -> None:
    path = tmp_path / "nexus.log"

    def write(if_exists: str | None) -> None:
        config = msgspec.convert({"mode": "file", "path": str(path), "if_exists": if_exists}, LogConfig)
        open_log(config, name="n").info("line")

    write("fail")
    write("append")
    assert len(path.read_text().splitlines()) == 2
    assert stat.S_IMODE(path.stat().st_mode) & 0o111 == 0
    write("truncate")
    assert len(path.read_text().splitlines()) == 1
    for refusing in ("fail", None):
        with pytest.raises(LogFileError, match=r"nexus\.log exists"):
            write(refusing)
    with pytest.raises(LogFileError, match=r"cannot open log file .*: No such file or directory"):
        open_log(LogConfig(mode="file", path=str(tmp_path / "no" / "such"), if_exists="append"), name="n")


def test_a_log_file_is_closed_on_exit(tmp_path: Path) -> None:
    config = LogConfig(mode="file", path=str(tmp_path / "nexus.log"), if_exists="append")
    with log_file(config, name="n") as log:
        log.info("a line")
    with (tmp_path / "other").open("w") as other:  # has the file's number now
        log.info("a line too late")
        assert os.fstat(other.fileno()).st_size == 0
    assert json.loads((tmp_path / "nexus.log").read_text())["msg"] == "a line"


def test_many_log_files_leave_no_descriptor(tmp_path: Path) -> None:
    def lowest_free() -> int:
        fd = os.open(tmp_path, os.O_RDONLY)
        os.close(fd)
        return fd

    before = lowest_free()
    for _ in range(3):
        with log_file(LogConfig(mode="file", path=str(tmp_path / "log"), if_exists="append"), name="n"):
            pass
    assert lowest_free() == before


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        log = log_to(file, form=BunyanForm())
    log.info("to a closed file")


def test_importing_the_log_does_not_import_rich() -> None:
    code = "import sys, dropshot.logging; sys.exit(any(m.split('.')[0] == 'rich' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
    code = "import dropshot.logging, rich.console; rich.console.Console"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
