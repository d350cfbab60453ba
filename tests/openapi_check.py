"""Checks answers against upstream's OpenAPI documents, where a checkout of them lies beside this one."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTS = Path(__file__).resolve().parents[2] / "shared/omicron/openapi"


class OpenApi(Protocol):
    def __call__(self, document: str, method: str, path: str, status: int, body: bytes) -> None: ...


def openapi_checker() -> OpenApi:
    """Fails unless a body is what `document` promises for that answer. Skips the test where the documents are not."""
    if not DOCUMENTS.is_dir():
        pytest.skip("upstream's OpenAPI documents are not beside this checkout")

    def check(document: str, method: str, path: str, status: int, body: bytes) -> None:
        api = json.loads((DOCUMENTS / document).read_text())
        responses = api["paths"][path][method.lower()]["responses"]
        response = _resolve(api, responses.get(str(status)) or responses[f"{status // 100}XX"])
        if "content" not in response:
            assert body == b""
            return
        complaint = _complaint(api, response["content"]["application/json"]["schema"], json.loads(body), "$")
        assert complaint is None, complaint

    return check


def _resolve(api: Any, node: Any) -> Any:
    while "$ref" in node:
        target = api
        for key in node["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        node = target
    return node


def _complaint(api: Any, schema: Any, value: Any, at: str) -> str | None:
    """What is wrong with a value, or None. Stricter than the schema: members that it does not name are wrong."""
    schema = _resolve(api, schema)
    if value is None:
        return None if schema.get("nullable") else f"{at}: null"
    if "allOf" in schema:
        return _complaint(api, schema["allOf"][0], value, at)
    if "oneOf" in schema:
        complaints = [_complaint(api, option, value, at) for option in schema["oneOf"]]
        return None if complaints.count(None) == 1 else f"{at}: {value!r} is not exactly one of: {complaints}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at}: {value!r} is not one of {schema['enum']}"
    if "type" not in schema:
        return None  # any JSON
    match schema["type"]:
        case "object":
            return _object_complaint(api, schema, value, at)
        case "array":
            if not isinstance(value, list) or not schema.get("minItems", 0) <= len(value) <= schema.get(
                "maxItems", 1e9
            ):
                return f"{at}: {value!r} is not such an array"
            complaints = [_complaint(api, schema["items"], item, f"{at}[{i}]") for i, item in enumerate(value)]
            return next(filter(None, complaints), None)
        case "string":
            fits = isinstance(value, str) and re.search(schema.get("pattern", ""), value) is not None
            return None if fits and _has_format(value, schema.get("format")) else f"{at}: {value!r}"
        case "integer" | "number" as kind:
            numeric = isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
            return None if numeric and value >= schema.get("minimum", value) else f"{at}: {value!r} is no {kind}"
        case "boolean":
            return None if isinstance(value, bool) else f"{at}: {value!r} is not a boolean"
    raise AssertionError(f"{at}: a schema that this check does not know: {schema}")


def _object_complaint(api: Any, schema: Any, value: Any, at: str) -> str | None:
    if not isinstance(value, dict):
        return f"{at}: {value!r} is not an object"
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    if missing := set(schema.get("required", ())) - set(value):
        return f"{at}: {missing} missing"
    for key, member in value.items():
        if (expected := properties.get(key, others)) is None:
            return f"{at}: {key} is not a member"
        if complaint := _complaint(api, expected, member, f"{at}.{key}"):
            return complaint
    return None


def _has_format(text: str, format_: str | None) -> bool:
    parsers: dict[str | None, Callable[[str], object]] = {
        "uuid": UUID,
        "ip": ipaddress.ip_address,
        "date-time": datetime.datetime.fromisoformat,
        "ipv4": ipaddress.IPv4Address,
        "ipv6": ipaddress.IPv6Address,
        None: str,
    }
    try:
        parsers[format_](text)
    except ValueError:
        return False
    return True
