"""What `xtask bench sagas` says of what it measured; the measuring itself is left to whoever asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xtask.bench.sagas import peer
from xtask.bench.sagas.goals import Goals
from xtask.bench.sagas.rounds import Measured, heading, interleave

if TYPE_CHECKING:
    from pathlib import Path


def test_without_the_peer_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "PYTHON", tmp_path / "bin/python")
    with pytest.raises(SystemExit) as refused:
        peer.check_installed()
    message = str(refused.value)
    assert "\n" not in message
    assert "requirements-peer.lock" in message
    assert (peer.ROOT / "requirements-peer.lock").exists()


def test_a_missed_goal_is_counted_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    goals = Goals()
    goals.at_least("so much", 5, 4.754)
    goals.at_most("so little", 1, 1.0)
    assert goals.missed == 1
    assert capsys.readouterr().out.splitlines() == [
        "goal: so much: at least 5; measured 4.75: MISSED",
        "goal: so little: at most 1; measured 1.00: met",
    ]


def test_a_row_has_the_median_and_its_ratios() -> None:
    subject, floor = Measured("subject", (0.003, 0.001, 0.002)), Measured("floor", (0.004,))
    assert subject.row(floor, factor=1000, digits=1).split() == ["subject", "2.0", "1.0", "3.0", "0.50"]
    assert len(subject.row(floor)) == len(heading("floor"))


async def test_the_first_round_does_not_count() -> None:
    samples = iter([100.0, 1.0, 2.0])

    async def measure() -> float:
        return next(samples)

    assert await interleave({"subject": measure}, rounds=2) == {"subject": Measured("subject", (1.0, 2.0))}
