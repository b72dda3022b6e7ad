"""Answers held to the OpenAPI document."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from tests.kit.house import Answer


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def conforms(document: dict[str, Any], path: str, method: str, answer: Answer) -> None:
    """The answer is what the document says of this call."""
    described = document["paths"][path][method.lower()]["responses"][str(answer.status)]
    if "$ref" in described:
        described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
    [(media, content)] = described["content"].items()
    assert answer.headers["Content-Type"] == media
    said = answer.json if "json" in media else answer.body.decode()
    validator(document, content["schema"]).validate(said)
