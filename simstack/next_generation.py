"""A Nexus of the next generation: put into the target blueprint before it is started, as upstream's planner would.

Such a Nexus waits for the *handoff*. Nothing of that is decided here: a Nexus that runs is asked to edit the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dropshot.client import ClientError, request
from simstack.errors import SimstackError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dropshot.address import SocketAddr
    from simstack.stack_plan import PlannedNexus

ANSWER_TIMEOUT_S = 10.0
EDIT_TARGET_PATH = "/experimental/blueprints/target/edit"


async def put_in_next_generation(planned: PlannedNexus, nexuses: Iterable[SocketAddr]) -> None:
    """Have the first of `nexuses` (their internal addresses) do it that can. Raises SimstackError if none can."""
    edit = {
        "edit": "add_nexus_zone",
        "zone_id": planned.id,
        "internal_address": str(planned.internal_address),
        "external_ip": planned.external_address.host,
        "next_generation": True,
    }
    body = msgspec.json.encode({"edits": [edit], "set_target": True})
    reasons: list[str] = []
    for nexus in nexuses:
        try:
            answer = await request(nexus, "POST", EDIT_TARGET_PATH, body=body, timeout_s=ANSWER_TIMEOUT_S)
        except ClientError as exc:
            reasons.append(str(exc))
            continue
        if answer.status < 300:
            return
        reasons.append(f"{nexus}: {answer.status}: {_message(answer.body)}")
    raise SimstackError(
        "a Nexus of the next generation has to be put into the target blueprint by one that runs:"
        f" {'; '.join(reasons) or 'none of this stack does'}"
    )


def _message(body: bytes) -> str:
    """Of an error."""
    try:
        return str(msgspec.json.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return body.decode(errors="replace")
