"""The emulator's API Gateway, mended: it takes an API's definition when it is made, and later, as AWS does.

It takes one from CloudFormation only, while ``chalice deploy`` and Terraform hand it over in calls of their own
(ImportRestApi, PutRestApi). It also leaves out what is for any method.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ANY = "x-amazon-apigateway-any-method"
_MEDIA_TYPES = "/binaryMediaTypes/"


def take_definitions(gateway: Any) -> None:
    """Raises AttributeError when the emulator is another."""
    import_path, handle = gateway._import_path_item, gateway.handle_request
    for name in ("_import_rest_api", "_rest_apis", "_resources", "_get_rest_api", "_create_rest_api"):
        getattr(gateway, name)
    gateway._OPENAPI_HTTP_METHODS.add("any")

    def import_with_any(api_id: str, path: str, item: Mapping[str, Any], *more: Any) -> Any:
        return import_path(api_id, path, {("any" if name == ANY else name): of for name, of in item.items()}, *more)

    async def handle_definitions(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Any:
        parts = [part for part in path.strip("/").split("/") if part]
        if parts[:1] == ["restapis"] and len(parts) == 1 and method == "POST" and _first(query, "mode") == "import":
            return 201, *gateway._get_rest_api(gateway._import_rest_api(json.loads(body)))[1:]
        if parts[:1] == ["restapis"] and len(parts) == 2 and method == "PUT" and parts[1] in gateway._rest_apis:
            _put(gateway, parts[1], json.loads(body))
            return gateway._get_rest_api(parts[1])
        if parts[:1] == ["restapis"] and len(parts) == 2 and method == "PATCH" and parts[1] in gateway._rest_apis:
            body = _patch_media_types(gateway._rest_apis[parts[1]], json.loads(body))
        return await handle(method, path, headers, body, query)

    gateway._import_path_item = import_with_any
    gateway.handle_request = handle_definitions


def _put(gateway: Any, api_id: str, spec: Mapping[str, Any]) -> None:
    """In place of what the API had; its root stays, and its stages do."""
    resources = gateway._resources[api_id]
    for each in [each for each, resource in resources.items() if resource.get("path") != "/"]:
        del resources[each]
    for root in resources.values():
        root["resourceMethods"] = {}
    for path, item in (spec.get("paths") or {}).items():
        gateway._import_path_item(api_id, path, item)


def _patch_media_types(api: dict[str, Any], asked: dict[str, Any]) -> bytes:
    """Add to and take from the list of media types, of which the emulator would make an object; what is left to do."""
    types: list[str] = api.setdefault("binaryMediaTypes", [])
    others = []
    for operation in asked.get("patchOperations") or ():
        place = str(operation.get("path", ""))
        if not place.startswith(_MEDIA_TYPES):
            others.append(operation)
            continue
        media_type = place.removeprefix(_MEDIA_TYPES).replace("~1", "/").replace("~0", "~")
        if media_type in types:
            types.remove(media_type)
        if operation.get("op") == "add":
            types.append(media_type)
    return json.dumps({**asked, "patchOperations": others}).encode()


def _first(query: Mapping[str, Any], name: str) -> Any:
    value = query.get(name)
    return value[0] if isinstance(value, list) and value else value
