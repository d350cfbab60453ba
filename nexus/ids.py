"""Ids of the control plane. No id is ever a bare UUID; the saga engine's own ids are in `nexus.saga.ids`."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

NexusId = NewType("NexusId", UUID)
"""A Nexus zone. Also its SEC id: `SecId(nexus_id)`."""

BlueprintId = NewType("BlueprintId", UUID)
DemoSagaId = NewType("DemoSagaId", UUID)
RackId = NewType("RackId", UUID)
SiloId = NewType("SiloId", UUID)
SiloUserId = NewType("SiloUserId", UUID)
SledId = NewType("SledId", UUID)
