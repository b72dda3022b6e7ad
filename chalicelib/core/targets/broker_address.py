"""Addresses of brokers: taken apart by the parser of webhooks, so that the same guard judges them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from chalicelib.core.targets.ssrf import Address, check_address, parse_url

BROKER_ADDRESSES_MAX: Final = 10  # of one target


class BrokerAddress(NamedTuple):
    """Where a broker is. ``path`` is what follows the port, without its first slash, unquoted: a database, a virtual
    host; None when nothing does. ``literal`` is set when the host is an address in whatever notation."""

    scheme: str
    host: str
    port: int
    path: str | None
    literal: Address | None

    @property
    def name(self) -> str:
        """Host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_broker(text: str, ports: Mapping[str, int], takes_path: bool = False) -> BrokerAddress:
    """Take ``scheme://host:port`` apart. ``ports`` are the known schemes with their usual ports. The scheme ``""``
    is that of a bare ``host:port``. Raises ValueError."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "", text
    scheme = scheme.lower()
    if scheme not in ports:
        raise ValueError("must be host:port" if "" in ports else f"must begin with {_schemes(ports)}")
    if "@" in rest.partition("/")[0]:
        raise ValueError("must not hold credentials: a secret_ref names them")
    plain = parse_url(f"http://{rest}")
    parts = urlsplit(f"http://{rest}")
    if parts.query or parts.fragment or (parts.path not in ("", "/") and not takes_path):
        raise ValueError("must hold nothing after the port" if not takes_path else "must hold no query")
    port = ports[scheme] if parts.port is None else plain.port
    path = unquote(parts.path[1:]) if len(parts.path) > 1 else None
    return BrokerAddress(scheme, plain.host, port, path, plain.literal)


def address_check(ports: Mapping[str, int], takes_path: bool = False) -> Callable[[str, Sequence[str]], str | None]:
    """What is wrong with an address, or with one of a list. Names are judged at every connection."""

    def check(value: str | Sequence[str], allow: Sequence[str]) -> str | None:
        texts = [value] if isinstance(value, str) else value
        for text in texts:
            try:
                parsed = parse_broker(text, ports, takes_path)
            except ValueError as error:
                return str(error)
            if parsed.literal is not None and (problem := check_address(parsed.host, parsed.literal, allow)):
                return problem
        return None

    return check


def _schemes(ports: Mapping[str, int]) -> str:
    return " or ".join(f"{scheme}://" for scheme in ports)
