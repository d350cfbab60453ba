"""Is the Nexus that a saga is assigned to still there? Asked before the saga is repaired by hand.

DNS says where a Nexus of that id would be, and a ping whether it is. A Nexus that is not in DNS may run all the same,
so only a refused connection counts as its absence.
"""

from __future__ import annotations

from nexus.clients.nexus import ping
from nexus.clients.resolver import INTERNAL_ZONE, ResolverError
from omdb.discovery import dns_servers
from omdb.dns_lookup import lookup_instance
from omdb.errors import OmdbError
from omdb.http_connection import HttpConnection, NothingListens
from omdb.urls import parse_base_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nexus.saga.ids import SecId
    from omdb.session import Session

NEXUS_SERVICE = "_nexus._tcp"


def check_sec_is_gone(session: Session, sec_id: SecId | None) -> None:
    """Returns, with a message, if it seems to be. Raises OmdbError otherwise."""
    if sec_id is None:
        session.warn("warning: the saga has no SEC assigned, so whether one still runs it cannot be checked!")
        return
    try:
        addresses = lookup_instance(
            f"{NEXUS_SERVICE}.{INTERNAL_ZONE}", str(sec_id), servers=dns_servers(session), log=session.log
        )
    except ResolverError as error:
        raise _cannot_proceed(f"failed to look Nexus {sec_id} up in DNS: {error}") from None
    if not addresses:
        raise _cannot_proceed(f"no SRV record for Nexus {sec_id}, so whether it still runs cannot be checked")
    request = ping()
    for address in addresses:
        connection = HttpConnection(parse_base_url(f"http://{address}"), log=session.log)
        try:
            response = connection.exchange(request.method, request.path)
        except NothingListens:
            session.note(f"note: Nexus {sec_id} is not running: connection refused at {address}")
        except OmdbError as error:
            raise _cannot_proceed(f"Nexus {sec_id} may still be running: {error}") from None
        else:
            answer = "a ping" if 200 <= response.status < 300 else f"a ping with status {response.status}"
            raise _cannot_proceed(f"Nexus {sec_id} is still running: it answered {answer} at {address}")
        finally:
            connection.close()


def _cannot_proceed(text: str) -> OmdbError:
    return OmdbError(f"Cannot proceed: {text} (to go on all the same: --bypass-sec-check)")
