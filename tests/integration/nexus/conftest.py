"""Fixtures for the APIs of a Nexus."""

from __future__ import annotations

import pytest
from openapi_check import OpenApi, openapi_checker


@pytest.fixture
def check_openapi() -> OpenApi:
    return openapi_checker()
