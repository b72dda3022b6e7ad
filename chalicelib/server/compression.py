"""Compresses what a caller would wait for: the console's files and long JSON. On AWS API Gateway does it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

JSON_MIN_BYTES: Final = 4096  # below that a call answers sooner without
FILE_MIN_BYTES: Final = 512
_FILES_KEPT: Final = 128
_JSON_LEVEL: Final = 1  # a third of the time of the default, for a tenth more bytes
_FILE_LEVEL: Final = 9
_FILES: Final = frozenset({"text/javascript", "text/css", "text/html", "text/plain", "image/svg+xml"})
_GZIP: Final = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q\s*=\s*(?P<q>[0-9.]+)\s*)?(?=,|$)", re.IGNORECASE)


def compressed(asked: Mapping[str, str], answered: dict[str, str], body: bytes) -> bytes:
    """The body as it goes out, with ``answered`` set accordingly. Names in ``asked`` are in lower case.

    An answer with a strong entity tag stays as it is: the tag names these bytes, and callers send it back in If-Match.
    """
    media = answered.get("Content-Type", "").partition(";")[0].strip()
    is_file = media in _FILES and "Cache-Control" in answered
    if not is_file and media != "application/json":
        return body
    if len(body) < (FILE_MIN_BYTES if is_file else JSON_MIN_BYTES):
        return body
    if "Content-Encoding" in answered or not answered.get("ETag", "W/").startswith("W/"):
        return body
    answered["Vary"] = f"{answered['Vary']}, Accept-Encoding" if "Vary" in answered else "Accept-Encoding"
    if not takes_gzip(asked.get("accept-encoding", "")):
        return body
    small = _file(body) if is_file else gzip.compress(body, _JSON_LEVEL, mtime=0)
    answered["Content-Encoding"] = "gzip"
    answered["Content-Length"] = str(len(small))
    return small


def takes_gzip(accepts: str) -> bool:
    """Whether Accept-Encoding (RFC 9110, section 12.5.3) takes gzip."""
    found = _GZIP.search(accepts)
    if found is None:
        return False
    try:
        return float(found["q"] or 1) > 0
    except ValueError:
        return False


@lru_cache(_FILES_KEPT)
def _file(body: bytes) -> bytes:
    return gzip.compress(body, _FILE_LEVEL, mtime=0)
