"""Where a request comes from: nobody can write an address of their choice."""

from __future__ import annotations

import ipaddress

import pytest

from chalicelib.core.security.source import Network, source_ip

PROXIES: tuple[Network, ...] = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "found"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # the peer is no proxy of ours: it may write what it likes
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "10.2.2.2", "10.2.2.2"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("fd00::1", "[2001:db8::5]:443", "2001:db8::5"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        (None, "198.51.100.1", None),
        ("not an address", "198.51.100.1", None),
    ],
)
def test_only_trusted_proxies_say_where_a_request_comes_from(
    peer: str | None, forwarded_for: str | None, found: str | None
) -> None:
    assert source_ip(peer, forwarded_for, PROXIES) == found


def test_without_trusted_proxies_the_peer_is_the_source() -> None:
    assert source_ip("10.0.0.1", "198.51.100.1", ()) == "10.0.0.1"
