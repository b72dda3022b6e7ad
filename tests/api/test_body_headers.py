"""Request headers that change what a body means are understood or refused, never ignored."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from chalicelib.api.http.operations import Operation
from chalicelib.api.http.routes import table
from tests.kit.house import RATE, House

WITH_BODY = [operation for operation in table().operations if operation.takes_body]
PLAIN = json.dumps(RATE).encode()


def path_of(operation: Operation) -> str:
    return re.sub(r"\{\w+\}", "01KB0000000000000000000000", operation.path)


def name_of(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "deflate", "identity, gzip", "aes128gcm", "x"])
def test_a_content_coding_is_refused(shared: House, operation: Operation, coding: str) -> None:
    for raw in (gzip.compress(PLAIN), PLAIN, b""):
        answer = shared.call(operation.method, path_of(operation), raw=raw, headers={"Content-Encoding": coding})
        assert (answer.status, answer.code) == (415, "unsupported_media_type")
        assert answer.headers["Accept-Encoding"] == "identity"
        assert "Content-Encoding" in answer.json["detail"]


@pytest.mark.parametrize("coding", ["identity", "Identity", "", " , identity"])
def test_a_body_as_it_is_is_taken(house: House, coding: str) -> None:
    answer = house.call("POST", "/api/v1/schedules", RATE, headers={"Content-Encoding": coding})
    assert answer.status == 201


@pytest.mark.parametrize("operation", WITH_BODY, ids=name_of)
def test_a_part_of_a_body_is_refused(shared: House, operation: Operation) -> None:
    ranged = {"Content-Range": f"bytes 0-{len(PLAIN) - 1}/4711"}
    answer = shared.call(operation.method, path_of(operation), raw=PLAIN, headers=ranged)
    assert (answer.status, answer.code) == (400, "bad_request")


def test_a_wrong_media_type_asks_for_no_other_coding(shared: House) -> None:
    answer = shared.call("POST", "/api/v1/schedules", raw=PLAIN, headers={"Content-Type": "text/plain"})
    assert answer.status == 415
    assert "Accept-Encoding" not in answer.headers


def test_a_call_without_a_body_does_not_care(shared: House) -> None:
    assert shared.call("GET", "/api/v1/schedules", headers={"Content-Encoding": "gzip"}).status == 200
