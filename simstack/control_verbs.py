"""What a running stack can be asked for over its control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simstack.control import ControlError
from simstack.errors import SimstackError
from simstack.facts import NexusOutcome, StackStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from simstack.control import Call, Handler
    from simstack.launched_nexus import LaunchedNexus
    from simstack.stack import Stack


def control_verbs(stack: Stack) -> dict[str, Handler]:
    """A handler for each verb. It ends with a value for JSON, or refuses by ControlError."""

    async def status(_call: Call) -> StackStatus:
        return stack.status()

    async def stop_database(_call: Call) -> None:
        await stack.stop_database()

    async def start_database(_call: Call) -> None:
        await stack.start_database()

    async def down(_call: Call) -> None:
        stack.take_down()

    def add(*, next_generation: bool) -> Handler:
        async def handler(call: Call) -> NexusOutcome:
            nexus = await stack.add_nexus(next_generation=next_generation)
            return _outcome(nexus, await nexus.start(call.tell))

        return handler

    async def kill(nexus: LaunchedNexus, _call: Call) -> str:
        return str(await nexus.kill())

    async def stop(nexus: LaunchedNexus, _call: Call) -> str:
        return f"has ended: {await nexus.stop()}"

    async def pause(nexus: LaunchedNexus, _call: Call) -> str:
        await nexus.pause()
        return "is paused"

    async def resume(nexus: LaunchedNexus, _call: Call) -> str:
        await nexus.resume()
        return "goes on"

    async def start(nexus: LaunchedNexus, call: Call) -> str:
        return await nexus.start(call.tell)

    async def restart(nexus: LaunchedNexus, call: Call) -> str:
        return await nexus.restart(call.tell)

    def on_nexus(change: Callable[[LaunchedNexus, Call], Awaitable[str]]) -> Handler:
        async def handler(call: Call) -> NexusOutcome:
            nexus = stack.nexus(call.nexus)
            return _outcome(nexus, await change(nexus, call))

        return handler

    verbs: dict[str, Handler] = {
        "status": status,
        "db-stop": stop_database,
        "db-start": start_database,
        "down": down,
        "nexus-add": add(next_generation=False),
        "nexus-add-next-generation": add(next_generation=True),
        "nexus-kill": on_nexus(kill),
        "nexus-stop": on_nexus(stop),
        "nexus-pause": on_nexus(pause),
        "nexus-resume": on_nexus(resume),
        "nexus-start": on_nexus(start),
        "nexus-restart": on_nexus(restart),
    }
    return {verb: _refusing(handler) for verb, handler in verbs.items()}


def _outcome(nexus: LaunchedNexus, outcome: str) -> NexusOutcome:
    return NexusOutcome(nexus.name, nexus.facts(), outcome)


def _refusing(handler: Handler) -> Handler:
    async def refusing(call: Call) -> object:
        try:
            return await handler(call)
        except SimstackError as exc:
            raise ControlError(str(exc)) from exc

    return refusing
