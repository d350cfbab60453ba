"""The lock files fit pyproject.toml: nothing is missing, everything has hashes, nothing tells where it came from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-peer.lock"]


def locked(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Name to version and hashes."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    packages = {}
    for line in text.splitlines():
        if line.strip() and not line.strip().startswith("#"):
            matched = re.match(r"([\w.-]+)==(\S+)", line)
            assert matched, f"not a pinned requirement: {line}"
            packages[normalized(matched[1])] = (matched[2], re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line))
    return packages


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(requirements: list[str]) -> set[str]:
    return {normalized(re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]) for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_hashes(lock: str) -> None:
    assert [name for name, (_, hashes) in locked(lock).items() if not hashes] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_is_in_it(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert re.findall(r"https?:|file:|--(?:extra-)?index-url|--find-links| /\w", text) == []


def test_what_the_project_requires_is_locked() -> None:
    assert required(PYPROJECT["project"]["dependencies"]) - locked("requirements.lock").keys() == set()
    for group in ("dev", "peer"):
        assert required(PYPROJECT["dependency-groups"][group]) - locked(f"requirements-{group}.lock").keys() == set()


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_it_agrees_with_the_first_on_what_both_have(lock: str) -> None:
    runtime, other = locked("requirements.lock"), locked(lock)
    both = runtime.keys() & other
    assert {name: other[name] for name in both} == {name: runtime[name] for name in both}
