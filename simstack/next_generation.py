"""A Nexus of the next generation: put into the target blueprint before it is started, as upstream's planner would.

Such a Nexus waits for the *handoff*. Nothing of that is decided here: this asks a Nexus that runs for a child of the
target with the new zone in it, and makes the child the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from dropshot.client import ClientError, request
from simstack.errors import SimstackError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dropshot.address import SocketAddr
    from simstack.stack_plan import PlannedNexus

ANSWER_TIMEOUT_S = 10.0
TARGET = "/deployment/blueprints/target"


class NotAnswered(Exception):
    """This Nexus does not do it; another one may."""


async def put_in_next_generation(planned: PlannedNexus, nexuses: Iterable[SocketAddr]) -> None:
    """Have the first of `nexuses` (their internal addresses) do it that can. Raises SimstackError if none can."""
    reasons: list[str] = []
    for nexus in nexuses:
        try:
            await _put(planned, nexus)
        except (NotAnswered, ClientError) as exc:
            reasons.append(str(exc))
        else:
            return
    raise SimstackError(
        "a Nexus of the next generation has to be put into the target blueprint by one that runs:"
        f" {'; '.join(reasons) or 'none of this stack does'}"
    )


async def _put(planned: PlannedNexus, nexus: SocketAddr) -> None:
    target = await _ask(nexus, "GET", TARGET)
    blueprint = await _ask(nexus, "GET", f"/deployment/blueprints/all/{target['target_id']}")
    zone = {
        "id": planned.id,
        "sled_id": planned.sled_id,
        "internal_address": str(planned.internal_address),
        "external_ip": planned.external_ip,
    }
    edit = {"edit": "add_nexus_zone", "zone": zone, "nexus_generation": blueprint["nexus_generation"] + 1}
    child = await _ask(nexus, "POST", f"/experimental/blueprints/{target['target_id']}/edit", {"edits": [edit]})
    await _ask(nexus, "POST", TARGET, {"target_id": child["id"], "enabled": target["enabled"]})


async def _ask(nexus: SocketAddr, method: str, path: str, body: object = None) -> Any:
    encoded = b"" if body is None else msgspec.json.encode(body)
    answer = await request(nexus, method, path, body=encoded, timeout_s=ANSWER_TIMEOUT_S)
    if answer.status >= 300:
        raise NotAnswered(f"{nexus}: {answer.status}: {_message(answer.body)}")
    return msgspec.json.decode(answer.body)


def _message(body: bytes) -> str:
    """Of an error."""
    try:
        return str(msgspec.json.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace")
