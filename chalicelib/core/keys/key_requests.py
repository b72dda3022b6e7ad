"""What callers ask of API keys. A request that exists is well formed: its constructor names every wrong field."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from chalicelib.core.errors import FieldError, InvalidField
from chalicelib.core.keys.api_key import ROLES_DEFAULT
from chalicelib.core.keys.limits import KEY_CIDRS_MAX, KEY_NAME_MAX_CHARS, KEY_OVERLAP_MAX_MS
from chalicelib.core.limits import INSTANT_MAX_MS, OWNER_MAX_CHARS
from chalicelib.core.security.permissions import PERMISSIONS

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class KeyRequest(Struct, frozen=True, kw_only=True):
    """A key to make. ``known_roles`` are the names that its tenant has. Raises InvalidField naming every wrong field.

    None of ``roles`` and ``permissions``: the roles are ROLES_DEFAULT.
    """

    name: str
    owner: str
    known_roles: frozenset[str]
    now_ms: int
    roles: tuple[str, ...] | None = None
    permissions: tuple[str, ...] | None = None
    expires_at_unix_ms: int | None = None
    cidrs: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        problems = [*self._problems(), *cidr_problems(self.cidrs)]
        if problems:
            raise InvalidField(problems)

    def _problems(self) -> Iterator[FieldError]:
        yield from _text_problems("name", self.name, KEY_NAME_MAX_CHARS)
        yield from _text_problems("owner", self.owner, OWNER_MAX_CHARS)
        yield from end_problems(self.expires_at_unix_ms, self.now_ms)
        if self.roles is not None and self.permissions is not None:
            yield FieldError("permissions", "a key has roles or permissions, not both")
        yield from _choice_problems("roles", self.roles, self.known_roles)
        yield from _choice_problems("permissions", self.permissions, PERMISSIONS)

    @property
    def granted_roles(self) -> tuple[str, ...]:
        """The roles that the key gets, once each."""
        if self.roles is None and self.permissions is None:
            return ROLES_DEFAULT
        return tuple(dict.fromkeys(self.roles or ()))

    @property
    def granted_permissions(self) -> tuple[str, ...]:
        """The permissions that the key gets, once each."""
        return tuple(dict.fromkeys(self.permissions or ()))

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks in their usual form, once each."""
        return tuple(dict.fromkeys(str(ipaddress.ip_network(cidr)) for cidr in self.cidrs or ()))


def end_problems(expires_at_unix_ms: int | None, now_ms: int) -> Iterator[FieldError]:
    """What is wrong with the end of a key."""
    if expires_at_unix_ms is not None and not now_ms < expires_at_unix_ms <= INSTANT_MAX_MS:
        yield FieldError("expires_at_unix_ms", "must lie in the future, in unix milliseconds")


def overlap_problems(overlap_ms: int) -> Iterator[FieldError]:
    """What is wrong with the time that two keys are good beside each other."""
    if not 0 <= overlap_ms <= KEY_OVERLAP_MAX_MS:
        yield FieldError("overlap_ms", f"must be from 0 to {KEY_OVERLAP_MAX_MS}")


def cidr_problems(cidrs: tuple[str, ...] | None) -> Iterator[FieldError]:
    """What is wrong with a list of networks. An empty one is refused: it could mean everywhere or nowhere."""
    if cidrs is None:
        return
    if not 1 <= len(cidrs) <= KEY_CIDRS_MAX:
        yield FieldError("cidrs", f"must name 1 to {KEY_CIDRS_MAX} networks; leave it out to allow every address")
    for number, cidr in enumerate(cidrs):
        problem = _cidr_problem(cidr)
        if problem is not None:
            yield FieldError(f"cidrs.{number}", problem)


def _cidr_problem(cidr: str) -> str | None:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return "must be a network such as 203.0.113.0/24 or 2001:db8::/32, or one address"
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        return "must be written as IPv4: callers that come by it are seen so"
    if "/" in cidr and ipaddress.ip_interface(cidr).ip != network.network_address:
        return f"has bits beyond its mask; did you mean {network}?"
    return None


def _choice_problems(field: str, chosen: tuple[str, ...] | None, known: Iterable[str]) -> Iterator[FieldError]:
    if chosen is None:
        return
    if not chosen:
        yield FieldError(field, "must not be empty: the key could do nothing")
    for number, name in enumerate(chosen):
        if name not in known:
            yield FieldError(f"{field}.{number}", f"is unknown; there are {', '.join(sorted(known))}")


def _text_problems(field: str, text: str, longest: int) -> Iterator[FieldError]:
    if not 1 <= len(text) <= longest or _CONTROL.search(text):
        yield FieldError(field, f"must be 1 to {longest} characters, none of them a control character")
