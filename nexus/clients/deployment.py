"""The internal API's part about blueprints, the reconfigurator's configuration and sleds, as its clients see it.

As `nexus.clients.nexus`: requests to send, with the decoders of their answers. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from nexus.api.experimental_types import EditBlueprint
from nexus.api.types import ResultsPage, SledSelector, UninitializedSled
from nexus.clients.nexus import Request, Unreadable, decode_json
from nexus.deployment.blueprint import Blueprint, BlueprintMetadata, BlueprintTarget, BlueprintTargetSet
from nexus.deployment.config import ReconfiguratorConfig, ReconfiguratorConfigParam, ReconfiguratorConfigView
from nexus.deployment.sleds import SledPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus.deployment.edits import Edit
    from nexus.ids import BlueprintId, SledId

BLUEPRINTS = "/deployment/blueprints"
CONFIG = "/deployment/reconfigurator-config"


def list_blueprints(*, page_token: str | None) -> Request:
    """One page, in the order of ids. Tokens are URL-safe but for their padding."""
    query = "" if page_token is None else f"?page_token={page_token.replace('=', '%3D')}"
    return Request("GET", f"{BLUEPRINTS}/all{query}")


def decode_blueprints(body: bytes) -> ResultsPage[BlueprintMetadata | Unreadable]:
    page = decode_json(body, ResultsPage[msgspec.Raw])
    return ResultsPage([_metadata(item) for item in page.items], page.next_page)


def _metadata(item: msgspec.Raw) -> BlueprintMetadata | Unreadable:
    try:
        return msgspec.json.decode(item, type=BlueprintMetadata)
    except (msgspec.ValidationError, RecursionError) as error:
        return Unreadable(str(error), bytes(item).decode(errors="replace"))


def view_blueprint(blueprint_id: BlueprintId) -> Request:
    return Request("GET", f"{BLUEPRINTS}/all/{blueprint_id}")


def decode_blueprint(body: bytes) -> Blueprint:
    return decode_json(body, Blueprint)


def delete_blueprint(blueprint_id: BlueprintId) -> Request:
    return Request("DELETE", f"{BLUEPRINTS}/all/{blueprint_id}")


def regenerate_blueprint() -> Request:
    """Answered with the blueprint that the planner wants next. It is stored, and not the target."""
    return Request("POST", f"{BLUEPRINTS}/regenerate")


def import_blueprint(blueprint: Blueprint) -> Request:
    return Request("POST", f"{BLUEPRINTS}/import", msgspec.json.encode(blueprint))


def edit_blueprint(
    parent_id: BlueprintId | None, edits: Sequence[Edit], *, comment: str | None, set_target: bool
) -> Request:
    """Answered with the child that these edits make, which is then the target or only stored. The parent may be
    whichever blueprint is the target then: None.
    """
    body = msgspec.json.encode(EditBlueprint(tuple(edits), comment, set_target))
    return Request("POST", f"/experimental/blueprints/{parent_id or 'target'}/edit", body)


def view_target() -> Request:
    return Request("GET", f"{BLUEPRINTS}/target")


def decode_target(body: bytes) -> BlueprintTarget:
    return decode_json(body, BlueprintTarget)


def set_target(target_id: BlueprintId, *, enabled: bool) -> Request:
    """Make a child of the target the target. Answered with a BlueprintTarget."""
    body = msgspec.json.encode(BlueprintTargetSet(target_id=target_id, enabled=enabled))
    return Request("POST", f"{BLUEPRINTS}/target", body)


def set_target_enabled(target_id: BlueprintId, *, enabled: bool) -> Request:
    """Have the target, which must be this one, executed or not. Answered with a BlueprintTarget."""
    body = msgspec.json.encode(BlueprintTargetSet(target_id=target_id, enabled=enabled))
    return Request("PUT", f"{BLUEPRINTS}/target/enabled", body)


def view_config(version: int | None) -> Request:
    """That version of the reconfigurator's configuration, or the newest."""
    return Request("GET", CONFIG if version is None else f"{CONFIG}/{version}")


def decode_config(body: bytes) -> ReconfiguratorConfigView:
    return decode_json(body, ReconfiguratorConfigView)


def set_config(version: int, config: ReconfiguratorConfig) -> Request:
    return Request("POST", CONFIG, msgspec.json.encode(ReconfiguratorConfigParam(version, config)))


def list_uninitialized_sleds() -> Request:
    return Request("GET", "/sleds/uninitialized")


def decode_uninitialized_sleds(body: bytes) -> list[UninitializedSled]:
    return decode_json(body, ResultsPage[UninitializedSled]).items


def expunge_sled(sled_id: SledId) -> Request:
    """Answered with the policy that the sled had."""
    return Request("POST", "/sleds/expunge", msgspec.json.encode(SledSelector(sled_id)))


def decode_sled_policy(body: bytes) -> SledPolicy:
    return decode_json(body, cast("type[Any]", SledPolicy))  # type: ignore[no-any-return]
