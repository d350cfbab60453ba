"""The `api-version` header."""

from __future__ import annotations

import pytest

from dropshot.errors import HttpError
from dropshot.versions import ApiVersion, ApiVersions

VERSIONS = ApiVersions(oldest=ApiVersion(1, 0, 0), newest=ApiVersion(2, 0, 0))


@pytest.mark.parametrize("text", ["1.0.0", "2.0.0", "1.5.0", "1.0.0+build"])
def test_supported(text: str) -> None:
    assert str(VERSIONS.requested(text)) == text.partition("+")[0]


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        (None, 400, 'missing expected header "api-version"'),
        ("2", 400, 'bad value for header "api-version": "2" is not a version like 2.0.0'),
        ("v2.0.0", 400, 'bad value for header "api-version": "v2.0.0" is not a version like 2.0.0'),
        ("02.0.0", 400, 'bad value for header "api-version": "02.0.0" is not a version like 2.0.0'),
        ("2.0.1", 400, "server does not support this API version: 2.0.1"),
        ("10.0.0", 400, "server does not support this API version: 10.0.0"),
        ("0.9.0", 404, "Not Found"),
    ],
)
def test_refused(text: str | None, status: int, message: str) -> None:
    with pytest.raises(HttpError) as caught:
        VERSIONS.requested(text)
    assert (caught.value.status, caught.value.message) == (status, message)
