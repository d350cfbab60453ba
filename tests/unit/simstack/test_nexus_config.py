from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from dropshot.address import SocketAddr
from simstack.nexus_config import settle_ports

if TYPE_CHECKING:
    from pathlib import Path

GOT = {"external_address": SocketAddr("127.0.0.1", 40031), "internal_address": SocketAddr("::1", 43635)}

CONFIG = """
[deployment]
id = "e6bff1ff-24fb-49dc-a54e-c6a350cd4d6c"
[deployment.dropshot_external]
bind_address = "127.0.0.1:{external}"
default_request_body_max_bytes = 1
[deployment.dropshot_internal]
bind_address = "[::1]:{internal}"
[background_tasks]
saga_recovery.period_secs = 3
"""


@pytest.mark.parametrize(
    ("written", "settled"), [((0, 0), (40031, 43635)), ((12220, 0), (12220, 43635)), ((1, 2), (1, 2))]
)
def test_only_ports_that_are_open_are_settled(
    tmp_path: Path, written: tuple[int, int], settled: tuple[int, int]
) -> None:
    path = tmp_path / "nexus.toml"
    path.write_text(CONFIG.format(external=written[0], internal=written[1]))
    settle_ports(path, **GOT)
    assert tomllib.loads(path.read_text()) == tomllib.loads(CONFIG.format(external=settled[0], internal=settled[1]))


@pytest.mark.parametrize("text", ["[deployment", "", "[deployment]\nid = 1\n"])
def test_what_cannot_be_read_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nexus.toml"
    path.write_text(text)
    settle_ports(path, **GOT)
    assert path.read_text() == text
