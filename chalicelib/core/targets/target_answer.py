"""What a target answered to an attempt that failed, as it is kept to be read: some headers, the beginning of the body.

An answer may hold what must not be kept. Headers that set cookies, or are named like credentials, are left out. What
was sent as a secret and comes back in the answer is hidden. Of a ``Location`` the query is left out.

It is kept as one text, so that it is sealed as one. A line says whether it was cut. Then come headers, an empty line,
and the body. JSON inside JSON would be twice as long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

BODY_EXCERPT_MAX_BYTES: Final = 4_096
ANSWER_HEADERS_MAX: Final = 20
ANSWER_HEADERS_MAX_CHARS: Final = 1_024  # of all names and values
ANSWER_HEADER_MAX_CHARS: Final = 256  # of one value
SECRET_MIN_CHARS: Final = 6  # what is shorter would blot out ordinary words
HIDDEN: Final = "[hidden]"
WHOLE, CUT = "whole", "cut"

_SECRET_WORDS = (
    "auth",
    "cookie",
    "credential",
    "csrf",
    "jwt",
    "key",
    "passw",
    "secret",
    "session",
    "signature",
    "token",
)
_CHALLENGES = ("www-authenticate", "proxy-authenticate")  # they say what is missing, and carry no secret
_LATIN = re.compile(r"charset\s*=\s*\"?(iso-8859-1|latin-?1|windows-1252|cp1252)", re.ASCII | re.IGNORECASE)
# All but tab and line feed: shown as they are they could change what a terminal or a page shows.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class TargetAnswer(Struct, frozen=True):
    """What is kept of an answer. ``truncated``: its body or its headers were longer."""

    headers: Mapping[str, str]
    body: str
    truncated: bool


def is_secret_header(name: str) -> bool:
    """Whether a header may carry a credential."""
    low = name.lower()
    return low not in _CHALLENGES and any(word in low for word in _SECRET_WORDS)


def keep(headers: Mapping[str, str], body: bytes, sent_secrets: Iterable[str] = (), is_whole: bool = True) -> str:
    """The text that is kept of an answer; ``headers`` by names in lower case. ``is_whole``: all of its body came."""
    hidden = _hidden(sent_secrets)
    shown, dropped = _shown(headers, hidden)
    text, was_cut = _excerpt(headers, body, hidden)
    mark = WHOLE if is_whole and not dropped and not was_cut else CUT
    return "\n".join([mark, *(f"{name}: {value}" for name, value in shown.items()), "", text])


def read(text: str) -> TargetAnswer:
    """What ``keep`` kept."""
    head, _, body = text.partition("\n\n")
    mark, *lines = head.split("\n")
    pairs = (line.partition(": ") for line in lines)
    return TargetAnswer({name: value for name, _, value in pairs}, body, mark == CUT)


def _hidden(secrets: Iterable[str]) -> list[str]:
    """What to hide, the longest first: each secret whole, its parts ("Bearer x"), and both as JSON writes them."""
    parts = {part for secret in secrets for part in (secret, *secret.split()) if len(part) >= SECRET_MIN_CHARS}
    return sorted(parts | {json.dumps(part)[1:-1] for part in parts}, key=len, reverse=True)


def _shown(headers: Mapping[str, str], hidden: Iterable[str]) -> tuple[dict[str, str], bool]:
    """Headers to keep, and whether one was left out or cut for its length."""
    shown: dict[str, str] = {}
    room, dropped = ANSWER_HEADERS_MAX_CHARS, False
    for name, value in headers.items():
        if is_secret_header(name):
            continue
        whole = re.split("[?#]", value, maxsplit=1)[0] if name in ("location", "content-location") else value
        clean = _clean(_without(whole, hidden)).replace("\n", " ").replace("\t", " ")
        text = clean[:ANSWER_HEADER_MAX_CHARS]
        dropped = dropped or len(text) < len(clean)
        if len(shown) >= ANSWER_HEADERS_MAX or len(name) + len(text) > room:
            dropped = True
            continue
        shown[name] = text
        room -= len(name) + len(text)
    return shown, dropped


def _excerpt(headers: Mapping[str, str], body: bytes, hidden: Iterable[str]) -> tuple[str, bool]:
    """The beginning of a body as text, and whether there was more. What is packed stays out: nothing is unpacked."""
    if headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        return "", bool(body)
    encoding = "cp1252" if _LATIN.search(headers.get("content-type", "")) else "utf-8"
    text = _clean(_without(body.decode(encoding, "replace").replace("\r\n", "\n"), hidden))
    cut = text.encode()[:BODY_EXCERPT_MAX_BYTES].decode("utf-8", "ignore")
    return cut, len(cut) < len(text)


def _without(text: str, hidden: Iterable[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, HIDDEN)
    return text


def _clean(text: str) -> str:
    return _CONTROLS.sub("\ufffd", text)
