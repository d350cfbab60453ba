"""What the commands about blueprints have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus.clients.deployment import (
    decode_blueprint,
    decode_blueprints,
    decode_target,
    list_blueprints,
    set_target,
    set_target_enabled,
    view_blueprint,
    view_target,
)
from nexus.clients.nexus import Unreadable
from omdb.commands.blueprint_reference import parse_blueprint_reference
from omdb.errors import OmdbError
from omdb.safety import check_destructive

if TYPE_CHECKING:
    from nexus.deployment.blueprint import Blueprint, BlueprintMetadata, BlueprintTarget
    from nexus.ids import BlueprintId
    from omdb.nexus_connection import NexusConnection
    from omdb.safety import DestructiveToken
    from omdb.session import Session


class BlueprintReference:
    """A blueprint as it is typed: its id, or a word for the target."""

    __slots__ = ("id",)

    def __init__(self, id: BlueprintId | None) -> None:
        self.id = id
        """None for the target."""

    @classmethod
    def parse(cls, argument: str, text: str) -> BlueprintReference:
        """Raises UsageError that names the argument."""
        return cls(parse_blueprint_reference(argument, text))

    def resolve(self, nexus: NexusConnection) -> BlueprintId:
        return fetch_target(nexus).target_id if self.id is None else self.id


def fetch_target(nexus: NexusConnection) -> BlueprintTarget:
    return nexus.fetch(view_target(), decode_target)


def fetch_blueprint(nexus: NexusConnection, blueprint_id: BlueprintId) -> Blueprint:
    return nexus.fetch(view_blueprint(blueprint_id), decode_blueprint)


def fetch_all(nexus: NexusConnection, session: Session) -> tuple[list[BlueprintMetadata], bool]:
    """Those that could be read, and whether that is all of them. The others are told as warnings."""
    found: list[BlueprintMetadata] = []
    complete = True
    page_token: str | None = None
    while True:
        page = nexus.fetch(list_blueprints(page_token=page_token), decode_blueprints)
        for item in page.items:
            if isinstance(item, Unreadable):
                complete = False
                session.note(f"warning: not a blueprint ({item.reason}): {item.text}")
            else:
                found.append(item)
        if page.next_page is None:
            return found, complete
        if page.next_page == page_token:
            raise OmdbError(f"listing blueprints does not end: the page after {page_token} is that page again")
        page_token = page.next_page


def make_target(
    session: Session, nexus: NexusConnection, target_id: BlueprintId, _: DestructiveToken, *, enabled: bool
) -> None:
    nexus.fetch(set_target(target_id, enabled=enabled), decode_target)
    session.note(f"set target blueprint to {target_id}")


def switch_target(session: Session, argument: str, blueprint: str, *, enabled: bool) -> int:
    """`target enable` and `target disable`."""
    reference = BlueprintReference.parse(argument, blueprint)
    nexus = session.nexus()
    token = check_destructive(session.settings)
    target_id = reference.resolve(nexus)
    _switch_target(nexus, target_id, token, enabled=enabled)
    session.note(f"set target blueprint {target_id} to {'enabled' if enabled else 'disabled'}")
    return 0


def _switch_target(nexus: NexusConnection, target_id: BlueprintId, _: DestructiveToken, *, enabled: bool) -> None:
    nexus.fetch(set_target_enabled(target_id, enabled=enabled), decode_target)
