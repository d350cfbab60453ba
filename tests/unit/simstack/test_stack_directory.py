"""Directories of stacks, in a place where others may write too."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from simstack.directory import locked_root, stack_directory, stacks_root
from simstack.errors import DirectoryError
from simstack.locks import try_flock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "stacks"


def is_locked(path: Path) -> bool:
    fd = os.open(path, os.O_RDWR)
    try:
        return not try_flock(fd)
    finally:
        os.close(fd)


def test_is_locked_while_it_is_used_and_gone_afterwards(root: Path) -> None:
    with stack_directory(root) as directory:
        assert is_locked(directory.path / "owner.lock")
        assert (directory.path.stat().st_mode | root.stat().st_mode) & 0o066 == 0
        assert not os.get_inheritable(directory.owner_lock)
    assert not root.exists()


def test_the_root_stays_for_other_stacks(root: Path) -> None:
    with stack_directory(root, name="one") as one:
        with stack_directory(root, name="two"):
            pass
        assert one.path.exists()


def test_a_name_is_taken_once(root: Path) -> None:
    with (
        stack_directory(root, name="mine"),
        pytest.raises(DirectoryError, match="a stack named mine is running already"),
        stack_directory(root, name="mine"),
    ):
        pass


def test_what_is_kept_has_no_owner(root: Path) -> None:
    with stack_directory(root, keep=True) as directory:
        (directory.path / "nexus.log").touch()
    assert [path.name for path in directory.path.iterdir()] == ["nexus.log"]
    with (
        pytest.raises(DirectoryError, match="exists: the logs of a stack of that name were kept"),
        stack_directory(root, name=directory.path.name),
    ):
        pass


def test_a_root_that_others_can_write_to_is_refused(root: Path) -> None:
    root.mkdir()
    root.chmod(0o777)
    root_checked_before_it_is_opened(root)


def test_a_root_that_is_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    root.symlink_to(tmp_path / "elsewhere")
    root_checked_before_it_is_opened(root)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_root_that_is_somebody_elses_is_refused(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    root.mkdir(mode=0o700)
    os.chown(root, 1, 1)
    root_checked_before_it_is_opened(root)


def root_checked_before_it_is_opened(root: Path) -> None:
    with pytest.raises(DirectoryError, match="is not a directory that only you can write to"), stack_directory(root):
        pass


def test_a_root_that_comes_and_goes_disturbs_nobody(root: Path) -> None:
    def use(_: int) -> None:
        with stack_directory(root) as directory:
            (directory.path / "file").touch()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(40)))
    assert not root.exists()


def test_a_lock_on_a_root_that_was_replaced_is_no_lock(root: Path) -> None:
    root.mkdir()
    with locked_root(root):
        root.rmdir()
    with pytest.raises(FileNotFoundError), locked_root(root):
        pass


def test_a_place_where_nothing_can_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DirectoryError, match=r"^cannot make a directory in \S+: Not a directory$"),
        stack_directory(tmp_path / "file/stacks"),
    ):
        pass


def test_paths_leave_room_for_a_sockets_name() -> None:
    assert len(bytes(stacks_root())) < 80
