"""What API Gateway hands to the API's function."""

from __future__ import annotations

import json
from typing import Any

from chalicelib.settings import load

AUTH = load({"CHRONO_AUTH": "apikey"})


def request(path: str, body: object = None, authorization: str | None = None) -> dict[str, Any]:
    """A request as API Gateway hands it on."""
    headers = {"Content-Type": ["application/json"]} | ({"Authorization": [authorization]} if authorization else {})
    return {
        "path": path,
        "requestContext": {
            "resourcePath": path,
            "httpMethod": "GET" if body is None else "POST",
            "identity": {"sourceIp": "203.0.113.7"},
        },
        "pathParameters": None,
        "multiValueQueryStringParameters": None,
        "headers": {name: value for name, [value] in headers.items()},
        "multiValueHeaders": headers,
        "stageVariables": None,
        "isBase64Encoded": False,
        "body": None if body is None else json.dumps(body),
    }
