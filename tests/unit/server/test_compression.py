"""Compression: what is long and named by no strong tag, for those who take it."""

from __future__ import annotations

import gzip

import pytest

from chalicelib.server.compression import FILE_MIN_BYTES, JSON_MIN_BYTES, compressed, takes_gzip

GZIP = {"accept-encoding": "gzip, deflate, br"}
JSON = {"Content-Type": "application/json", "Content-Length": "x"}
FILE = {"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "public", "Content-Length": "x"}
LONG = b'{"a": 1}' * JSON_MIN_BYTES


@pytest.mark.parametrize("headers", [JSON, FILE, {**FILE, "ETag": 'W/"v"'}])
def test_what_is_long_is_compressed(headers: dict[str, str]) -> None:
    answered = dict(headers)
    body = compressed(GZIP, answered, LONG)
    assert gzip.decompress(body) == LONG
    assert (answered["Content-Encoding"], answered["Content-Length"]) == ("gzip", str(len(body)))
    assert answered["Vary"] == "Accept-Encoding"


def test_the_same_file_gives_the_same_bytes() -> None:
    assert compressed(GZIP, dict(FILE), LONG) == compressed(GZIP, dict(FILE), LONG)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b"x" * (JSON_MIN_BYTES - 1)),
        (FILE, b"x" * (FILE_MIN_BYTES - 1)),
        ({**JSON, "ETag": '"v1"'}, LONG),  # callers send it back in If-Match
        ({**JSON, "Content-Encoding": "br"}, LONG),
        ({"Content-Type": "text/html"}, LONG),  # may be made for one caller; only files say how they are kept
        ({"Content-Type": "application/problem+json"}, LONG),
        ({}, b""),
    ],
)
def test_the_rest_stays_as_it_is(headers: dict[str, str], body: bytes) -> None:
    answered = dict(headers)
    assert compressed(GZIP, answered, body) == body
    assert answered == headers


def test_who_does_not_take_it_gets_it_plain_and_caches_know_why() -> None:
    answered = {**FILE, "Vary": "Origin"}
    assert compressed({}, answered, LONG) == LONG
    assert "Content-Encoding" not in answered
    assert answered["Vary"] == "Origin, Accept-Encoding"


@pytest.mark.parametrize(
    ("accepts", "takes"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("deflate,gzip ; q=1.0", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=1.2.3", False),
        ("x-gzip-not", False),
        ("br", False),
        ("", False),
    ],
)
def test_accept_encoding_is_read_as_the_rules_say(accepts: str, takes: bool) -> None:
    assert takes_gzip(accepts) == takes
