"""One run of chronosctl: how it prints, where it calls. Nothing is connected before the first call."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chronosctl import contexts

if TYPE_CHECKING:
    from chronowatch.transport import Answered, Transport

PAGE_ITEMS = 100


class Session:
    """What every command is given."""

    def __init__(self) -> None:
        self.output = "table"
        self.path = ""  # of the command that was called, for hints
        self.context: str | None = None
        self.trace = False
        self.outcome = 0  # the exit code that is known before all is printed: a reader that goes early changes nothing
        self.timeout_s = 30.0
        self._transport: Transport | None = None

    @property
    def transport(self) -> Transport:
        """The connection to the service."""
        if self._transport is None:
            self._transport = self.connect(self.timeout_s)
        return self._transport

    def close(self) -> None:
        """Close what was opened."""
        if self._transport is not None:
            self._transport.close()

    def connect(self, timeout_s: float, attempts: int = 4) -> Transport:
        """A new connection. Raises Fault for an address that is none."""
        from chronosctl.faults import usage
        from chronowatch import transport
        from chronowatch.version import VERSION

        found = contexts.connection(self.context)
        if not contexts.is_address(found.url):
            raise usage(f"{found.origin}: {found.url} is no address", "an address is http://HOST:PORT or https://HOST")
        headers = {"User-Agent": f"chronosctl/{VERSION}"}
        if found.token is not None:
            headers["Authorization"] = f"Bearer {found.token}"
        return transport.Transport(found.url, headers, timeout_s, transport.Retries(attempts))

    def exchange(self, method: str, path: str, body: Any = None, **how: Any) -> Answered:
        """One call. Raises ApiError, Unreachable."""
        answered = self.transport.exchange(method, path, body, **how)
        if self.trace:
            print(f"trace: {answered.headers.get('traceparent', '')}", file=sys.stderr)
        return answered

    def call(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """The decoded answer of one call. Raises ApiError, Unreachable."""
        return self.exchange(method, path, body, **how).json()

    def pages(self, path: str, query: Mapping[str, Any], *, most: int | None = None, **how: Any) -> Iterator[Any]:
        """The items of a list, a page fetched when the one before is used up; at most ``most`` of them."""
        asked, left = dict(query), most
        method, body = how.pop("method", "GET"), how.pop("body", None)
        if method == "GET":
            asked["limit"] = PAGE_ITEMS if left is None else max(1, min(PAGE_ITEMS, left))
        while True:
            page = self.call(method, path, body, query=asked, **how)
            for item in page["items"]:
                if left == 0:
                    return
                yield item
                left = None if left is None else left - 1
            if page.get("next_page_token") is None or left == 0:
                return
            asked["page_token"] = page["next_page_token"]

    def after(self, path: str, query: Mapping[str, Any], *, most: int | None = None) -> Iterator[Any]:
        """The items of a log after a position, up to its end; at most ``most`` of them. The change feed without a
        position says none: where it ends now goes to the standard error, to go on from."""
        asked, left = dict(query), most
        while left is None or left > 0:
            if left is not None:
                asked["limit"] = min(PAGE_ITEMS, left)
            page = self.call("GET", path, query=asked)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            if page["next_after"] is None or page["next_after"] == asked.get("after"):
                return
            if "after" not in asked and not page["items"]:
                print(f"it ends at {page['next_after']}: --after goes on from there", file=sys.stderr)
                return
            asked["after"] = page["next_after"]
