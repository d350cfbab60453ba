from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import pytest

from xtask.bytecode import PACKAGES, compile_stale, stale_modules

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in PACKAGES:
        (tmp_path / package / "inner").mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "inner/module.py").write_text("answer = 42\n")
    return tmp_path


def test_compiles_everything_once(tree: Path) -> None:
    assert compile_stale(str(tree)) == 2 * len(PACKAGES)
    assert os.path.exists(importlib.util.cache_from_source(str(tree / "omdb/inner/module.py")))
    assert stale_modules(str(tree)) == []
    assert compile_stale(str(tree)) == 0


@pytest.mark.parametrize("change", ["size", "time"])
def test_finds_the_one_that_has_changed(tree: Path, change: str) -> None:
    compile_stale(str(tree))
    module = tree / "nexus/inner/module.py"
    if change == "size":
        status = module.stat()
        module.write_text("answer = 4242\n")
        os.utime(module, ns=(status.st_atime_ns, status.st_mtime_ns))
    else:
        os.utime(module, (0, 0))
    assert stale_modules(str(tree)) == [str(module)]
    assert compile_stale(str(tree)) == 1
    assert stale_modules(str(tree)) == []


def test_leaves_what_does_not_compile_to_its_importer(tree: Path) -> None:
    (tree / "nexus/inner/module.py").write_text("def\n")
    compile_stale(str(tree))
    assert stale_modules(str(tree)) == [str(tree / "nexus/inner/module.py")]
