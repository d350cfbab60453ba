"""What a Nexus answers when it is asked whether it quiesces, and which one of a stack omdb is to talk to."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from dropshot.address import SocketAddr
from nexus.api.quiesce_types import DrainingSagas, NotQuiescing
from nexus.clients.nexus import UnexpectedAnswer
from nexus.clients.quiesce import decode_quiesce, view_quiesce
from simstack.facts import ENDED
from simstack.nexus_choice import nexus_name

if TYPE_CHECKING:
    from nexus.api.quiesce_types import QuiesceStatus
    from simstack.facts import NexusFacts, ServiceStatus, StackStatus

PROBE_TIMEOUT_S = 2.0


def ask_nexus(address: SocketAddr) -> QuiesceStatus | UnexpectedAnswer | None:
    """None if it does not answer; an UnexpectedAnswer if it does, and says something else, such as an error."""
    body = http_get(address, view_quiesce().path)
    if body is None:
        return None
    try:
        return decode_quiesce(body)
    except UnexpectedAnswer as exc:
        return exc


def http_get(address: SocketAddr, path: str) -> bytes | None:
    """What is answered, be it an error; None if nothing is."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def best_nexus(stack: StackStatus) -> NexusFacts:
    """The first one that makes new sagas; or else that uses the database still, quiescing or expunged; or else that
    answers; or else that has a process; or else the first.
    """
    services = {service.name: service for service in stack.services}
    ranks = {
        nexus.id: _rank(services[nexus_name(number)], SocketAddr.parse(nexus.internal_address))
        for number, nexus in enumerate(stack.facts.nexuses, 1)
    }
    return min(stack.facts.nexuses, key=lambda nexus: ranks[nexus.id])


def _rank(service: ServiceStatus, address: SocketAddr) -> int:
    """The less, the better."""
    if service.state in ENDED:
        return 4
    if service.state != "running":
        return 3
    match ask_nexus(address):
        case None:
            return 3
        case UnexpectedAnswer():
            return 2
        case status if status.sagas.new_sagas_allowed == "allowed":
            return 0
        case status:
            return 1 if isinstance(status.state, NotQuiescing | DrainingSagas) else 2
