"""What tells a process from a later one with the same pid."""

from __future__ import annotations

import os
import subprocess

import pytest

from simstack.process_identity import boot_id, process_identity


def test_stays_the_same_while_it_runs_stopped_or_not() -> None:
    assert process_identity(os.getpid()) == process_identity(os.getpid())


def test_differs_between_processes() -> None:
    with subprocess.Popen(["sleep", "1000"]) as other:
        assert process_identity(other.pid) not in (None, process_identity(os.getpid()))
        other.kill()


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="no waitid to look at a dead process without reaping it")
def test_a_dead_process_has_none_reaped_or_not() -> None:
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_identity(process.pid) is None
    assert process_identity(process.pid) is None


def test_boot_id_is_a_word() -> None:
    assert boot_id()
    assert boot_id() == boot_id()
    assert not set(boot_id()) & set(" /\n")
