"""Which background tasks `omdb nexus background-tasks show` shows, and in which order. Pure."""

from __future__ import annotations

from omdb.errors import OmdbError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

SHOWN_FIRST = (
    "dns_config_internal",
    "dns_servers_internal",
    "dns_propagation_internal",
    "dns_config_external",
    "dns_servers_external",
    "dns_propagation_external",
    "nat_garbage_collector",
    "blueprint_loader",
    "blueprint_executor",
)
"""Upstream's order: what depends on another task comes after it. One that is absent is no reason for a warning here:
this stack does not simulate all of them."""


def select_tasks(selectors: Collection[str], known: Collection[str]) -> list[str]:
    """The names of the selected tasks in the order in which they are shown. No selector selects all.

    A selector is a name, `all`, or `dns_internal` and `dns_external` for the DNS tasks of a group. Raises OmdbError
    for any other.
    """
    groups = {
        "all": set(known),
        "dns_external": {name for name in known if name.startswith("dns_") and name.endswith("_external")},
        "dns_internal": {name for name in known if name.startswith("dns_") and name.endswith("_internal")},
    }
    selected: set[str] = set()
    for selector in selectors or ("all",):
        if selector not in groups and selector not in known:
            names = ", ".join((*groups, *sorted(known)))
            raise OmdbError(f'unknown task name: "{selector}" (known task names: {names})')
        selected |= groups.get(selector, {selector})
    first = [name for name in SHOWN_FIRST if name in selected]
    return first + sorted(selected.difference(first))
