"""Ids of the saga engine."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

SagaId = NewType("SagaId", UUID)

SecId = NewType("SecId", UUID)
"""A saga execution coordinator: the process that owns a saga's log for the time being."""

NodeId = NewType("NodeId", int)
"""Index of a node in its saga's DAG, from 0; the same number as in the log."""
