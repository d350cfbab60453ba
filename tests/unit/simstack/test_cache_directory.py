"""Where the cache is: somewhere of our own that the server's account can reach."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from simstack import cache
from simstack.account import Account
from simstack.cache import cache_directory
from simstack.errors import DirectoryError

if TYPE_CHECKING:
    from pathlib import Path

SOMEBODY = Account("somebody", 12345, 12345)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_is_below_home(home: Path) -> None:
    assert cache_directory(None) == home / ".cache/omicron-dev"
    assert (home / ".cache/omicron-dev").stat().st_mode & 0o077 == 0


def test_is_where_xdg_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "x"))
    assert cache_directory(None) == home / "x/omicron-dev"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_directory(None) == home / ".cache/omicron-dev"


def test_is_elsewhere_if_somebody_else_can_write_there(home: Path) -> None:
    (home / ".cache/omicron-dev").mkdir(parents=True)
    (home / ".cache/omicron-dev").chmod(0o777)
    assert cache_directory(None) == home / "tmp" / f"omicron-dev-cache-{os.geteuid()}"


def test_is_elsewhere_if_the_server_cannot_get_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(cache, "_candidates", lambda _: [closed, home / "open"])
    monkeypatch.setattr(cache, "is_reachable", lambda directory, account: directory != closed)
    assert cache_directory(SOMEBODY) == home / "open/omicron-dev"
    assert (home / "open/omicron-dev").stat().st_mode & 0o777 == 0o711
    assert os.listdir(closed) == []


def test_having_none_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setattr(cache, "_candidates", lambda _: [home / "file"])
    with pytest.raises(DirectoryError, match=r"^no cache directory can be made: set XDG_CACHE_HOME"):
        cache_directory(None)
