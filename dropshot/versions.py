"""The `api-version` request header of the APIs that have versions (DNS servers, gateways)."""

from __future__ import annotations

import re
from typing import NamedTuple

from dropshot.errors import HttpError, bad_request

HEADER = "api-version"

_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?", flags=re.ASCII
)


class ApiVersion(NamedTuple):
    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


class ApiVersions(NamedTuple):
    """The versions a server speaks, oldest and newest. One in between is served as the next older one that exists."""

    oldest: ApiVersion
    newest: ApiVersion

    def requested(self, header: str | None) -> ApiVersion:
        """The version that a request asks for.

        Raises HttpError 400 in upstream's words when the header is missing, is not a version, or is too new; and when
        it is older than the oldest one.
        """
        if header is None:
            raise bad_request(f'missing expected header "{HEADER}"')
        match = _SEMVER.fullmatch(header)
        if match is None:
            raise bad_request(f'bad value for header "{HEADER}": "{header}" is not a version like {self.newest}')
        version = ApiVersion(int(match[1]), int(match[2]), int(match[3]))
        if version > self.newest:
            raise bad_request(f"server does not support this API version: {header}")
        if version < self.oldest:
            raise HttpError(404, "Not Found")
        return version
