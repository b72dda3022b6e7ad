"""Calls that another site has a browser make: a browser adds its cookies to them, and reaches loopback for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from chalicelib.core.errors import Forbidden
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def shown(headers: Mapping[str, str], services: Callable[[], Services]) -> str | None:
    """What a call shows of its caller: its own header, or what its session's cookie holds."""
    given, cookies = headers.get("authorization"), headers.get("cookie")
    if given is not None or cookies is None:
        return given
    token = services().sessions.token_of(cookies)
    return None if token is None else f"Bearer {token}"


def check(method: str, headers: Mapping[str, str], caller: Caller, services: Callable[[], Services]) -> None:
    """Refuse what changes something and was begun by another site's page. Raises Forbidden (``cross_origin``).

    Browsers say of each call where it came from: in ``Sec-Fetch-Site``, older ones in ``Origin`` alone. A call with a
    credential of its own in ``Authorization`` is no concern: no other site can make a browser add that. A credential
    that came without that came in a cookie, so from a browser: it has to say where the call came from. Sessions are
    asked only about a browser's call, since a function that no browser calls has not what they are made of.
    """
    if method in SAFE_METHODS or headers.get("authorization") is not None:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        allowed = site in ("same-origin", "none")
    elif origin is not None:
        allowed = origin == services().sessions.origin() or (split_origin(origin).netloc or None) == headers.get("host")
    else:
        allowed = headers.get("cookie") is None or caller.credential in ("off", "none")
    if not allowed:
        raise Forbidden("the page of another site made this call", code="cross_origin")


def split_origin(origin: str) -> SplitResult:
    """The parts of an ``Origin`` header; all of them empty when it is no URL."""
    try:
        return urlsplit(origin)
    except ValueError:  # a bracket without its other half
        return urlsplit("")
