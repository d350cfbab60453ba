"""What a DNS server serves now, and who waits for it to change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from simstack.dns.config import DnsConfig, DnsConfigParams
from simstack.dns.zone import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable


class DnsStore:
    """The current configuration and its lookup structure.

    Lives in memory: upstream keeps generations on disk to survive a restart, but here a stack and its DNS servers
    end together. Replacing the configuration is one step without an `await`, so a query sees one generation or the
    other, and two updates never overlap (upstream's `UpdateInProgress` cannot happen).
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._config = DnsConfig.empty(now=now())
        self._catalog = Catalog.build(self._config)
        self._changed = trio.Event()

    @property
    def config(self) -> DnsConfig:
        return self._config

    @property
    def catalog(self) -> Catalog:
        return self._catalog

    def apply(self, params: DnsConfigParams) -> bool:
        """Serve a newer generation from now on; one of the current generation changes nothing.

        Returns whether anything was replaced. Raises StaleGeneration for an older one and InvalidZone for one that
        cannot be served; neither changes anything.
        """
        config = self._config.replaced_by(params, now=self._now())
        if config is self._config:
            return False
        catalog = Catalog.build(config)
        self._config, self._catalog = config, catalog
        self._changed.set()
        self._changed = trio.Event()
        return True

    async def wait_generation(self, generation: int) -> None:
        """Return once `generation` or a newer one is served."""
        while self._config.generation < generation:
            await self._changed.wait()
