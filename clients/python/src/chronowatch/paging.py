"""Lists of the service, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chronowatch.transport import Transport


def pages(transport: Transport, path: str, query: Mapping[str, object] | None = None) -> Iterator[dict[str, Any]]:
    """Every item of a list; a page is fetched when the one before it is used up."""
    asked = dict(query or {})
    while True:
        page = transport.call("GET", path, query=asked)
        yield from page["items"]
        token = page.get("next_page_token")
        if token is None:
            return
        asked["page_token"] = token
