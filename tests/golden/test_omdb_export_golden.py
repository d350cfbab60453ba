"""`omdb reconfigurator export`: what is in the file, and that there is none where it failed."""

from __future__ import annotations

import json
import resource
from typing import TYPE_CHECKING

from blueprint_lab import INITIAL, edited_child
from omdb_driver import omdb, transcript
from stored_rack import filled, golden_of_database

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_exported(database_url: str, tmp_path: Path) -> None:
    environ = filled(database_url)
    (tmp_path / "taken.json").write_text("mine")
    export = "reconfigurator export"
    commands = [
        f"{export} {tmp_path}/all.json",
        f"{export} --nmax-blueprints 1 {tmp_path}/newest.json",
        f"{export} {tmp_path}/taken.json",
        f"{export} {tmp_path}/nosuch/all.json",
        export,
        f"{export} --nmax-blueprints 0 {tmp_path}/none.json",
        f"{export} --nmax-blueprints many {tmp_path}/none.json",
        f"{export} --fetch-limit 1 {tmp_path}/none.json",
    ]
    text = transcript(commands, environ=environ)
    text += f"\n# all.json\n{(tmp_path / 'all.json').read_text()}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.json", "newest.json", "taken.json"]
    assert (tmp_path / "taken.json").read_text() == "mine"
    newest = json.loads((tmp_path / "newest.json").read_bytes())
    assert [blueprint["id"] for blueprint in newest["blueprints"]] == [str(edited_child(INITIAL, number=3).id)]
    golden_of_database("reconfigurator_export", text.replace(str(tmp_path), "DIRECTORY"), database_url)


def test_a_database_without_a_rack(database_url: str, tmp_path: Path) -> None:
    text = transcript([f"reconfigurator export {tmp_path}/all.json"], environ={"OMDB_DB_URL": database_url})
    text += f"\n# all.json\n{(tmp_path / 'all.json').read_text()}"
    golden_of_database("reconfigurator_export_empty", text.replace(str(tmp_path), "DIRECTORY"), database_url)


def test_a_file_that_cannot_be_written_to_its_end_is_gone(database_url: str, tmp_path: Path) -> None:
    environ = filled(database_url)
    file = tmp_path / "all.json"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        outcome = omdb("reconfigurator", "export", str(file), environ=environ)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert outcome.code == 1
    assert outcome.stderr.endswith(f"saving to {file} ... failed\nError: cannot write {file}: file too large\n")
    assert not file.exists()
