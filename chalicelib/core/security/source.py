"""Where a request comes from: the address at the other end, or, behind trusted proxies, what they say."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def source_ip(peer: str | None, forwarded_for: str | None, trusted: Sequence[Network]) -> str | None:
    """The caller's address. ``forwarded_for`` is X-Forwarded-For: each proxy adds on the right whom it heard from.

    Read from the right as long as trusted proxies vouch: what stands further left, any caller may have written.
    Something that is no address ends the reading. None where the peer is not known.
    """
    here = _address(peer or "")
    if here is None:
        return None
    for text in reversed((forwarded_for or "").split(",")):
        if not any(here in network for network in trusted):
            break
        further = _address(text.strip())
        if further is None:
            break
        here = further
    return str(here)


def _address(text: str) -> Address | None:
    """An address without port, brackets or zone; IPv4 written as IPv6 counts as IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return found if mapped is None else mapped
