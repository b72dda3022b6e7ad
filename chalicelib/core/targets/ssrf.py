"""Which addresses a webhook may be sent to: the guard against server-side request forgery.

A schedule's owner chooses the URL and the service makes the call, from inside the network. So only addresses that are
public on the internet are called, unless the operator's allow-list names the address or host. A URL is read by
``parse_url`` alone, here and where the call is made: two parsers that disagree are a way around any guard.

The networks are those of IANA's special-purpose registries (RFC 6890 and its updates). They are written out, so that
the answer does not depend on the Python release.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from chalicelib.core.targets.limits import URL_MAX_CHARS

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DEFAULT_PORTS = {"http": 80, "https": 443}

_FORBIDDEN_V4 = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by carriers (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a metadata address"),  # Azure's: public by number, internal by routing
        ("169.254.0.0/16", "link-local"),  # 169.254.169.254 and 169.254.170.2 hand out credentials
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),  # holds Oracle's metadata address, 192.0.0.192
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_FORBIDDEN_V6 = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),  # holds fd00:ec2::254, EC2's metadata address
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # Teredo, ORCHID, benchmarking
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = 0x00005EFE  # the third quarter of an address that ends in an IPv4 address (RFC 5214)
_ISATAP_UNIVERSAL = 0x02000000  # and a bit there that may be set
_SIX_TO_FOUR = IPv6Network("2002::/16")

_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.ASCII)
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_BAD_HOST = "must have a valid host, such as example.com or [2001:db8::1]"
_AFTER_BRACKET = re.compile(r"(:[0-9]*)?")
URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\x00-\x20\x7f\\]+$"  # what a pattern can judge; hosts are judged one by one


class Allowed(NamedTuple):
    """A parsed allow-list: networks that may be called whatever they are, and names trusted wherever they lead."""

    networks: tuple[Network, ...]
    names: frozenset[str]


class WebhookUrl(NamedTuple):
    """A URL taken apart: ``host`` in lower-case ASCII without brackets, ``path`` with its query, fit for the wire."""

    scheme: str
    host: str
    port: int
    path: str
    literal: Address | None  # set when the host is an address in whatever notation

    @property
    def authority(self) -> str:
        """The ``Host`` header: with brackets around IPv6, and the port when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@lru_cache(maxsize=8)
def _parse_allow(entries: tuple[str, ...]) -> Allowed:
    networks: list[Network] = []
    names: set[str] = set()
    for entry in entries:
        text = entry.strip().strip("[]").lower()
        try:
            networks.append(ip_network(text))
        except ValueError:
            if "/" in text or not _HOST.fullmatch(text) or _NUMBER.fullmatch(text.rstrip(".").rpartition(".")[2]):
                raise ValueError(f"{entry.strip()!r} is not an address, a network (CIDR) or a host name") from None
            names.add(text.rstrip("."))
    return Allowed(tuple(networks), frozenset(names))


def parse_allow(entries: Sequence[str]) -> Allowed:
    """The allow-list of addresses, CIDR networks and host names, such as ``("127.0.0.1", "10.0.0.0/8", "localhost")``.

    Raises ValueError naming the entry that is none of them.
    """
    return _parse_allow(tuple(entries))


def check_url(url: str, allow: Sequence[str]) -> str | None:
    """What is wrong with a webhook's URL, or None. Names are not resolved here: they are judged at every delivery."""
    try:
        parsed = parse_url(url)
    except ValueError as error:
        return str(error)
    return None if parsed.literal is None else check_address(parsed.host, parsed.literal, allow)


def url_problem(url: str) -> str | None:
    """What is wrong with a URL by itself, wherever it leads; None: nothing."""
    try:
        parse_url(url)
    except ValueError as error:
        return str(error)
    return None


def check_address(host: str, address: Address, allow: Sequence[str]) -> str | None:
    """Why the ``address`` that ``host`` stands for may not be called, or None when it may."""
    allowed = parse_allow(allow)
    if host.rstrip(".") in allowed.names:
        return None
    forms = _forms(address)
    if any(form in network for form in forms for network in allowed.networks if form.version == network.version):
        return None
    reasons = (reason for form in forms if (reason := _forbidden(form)))
    reason = next(reasons, None)
    return f"the address {address} is {reason} and CHRONO_WEBHOOK_ALLOW does not list it" if reason else None


def parse_url(url: str) -> WebhookUrl:
    """Take a webhook's URL apart. Raises ValueError with what is wrong with it."""
    if len(url) > URL_MAX_CHARS:
        raise ValueError(f"must be at most {URL_MAX_CHARS} characters")
    if _UNPRINTABLE.search(url):
        raise ValueError("must not hold blanks, control characters or backslashes")
    parts, asked_port = _split(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials: send them in headers")
    host, literal = _parse_host(parts.netloc, parts.hostname or "")
    port = DEFAULT_PORTS[parts.scheme] if asked_port is None else asked_port
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_PATH_SAFE + "?")
    return WebhookUrl(parts.scheme, host, port, path, literal)


def _split(url: str) -> tuple[SplitResult, int | None]:
    """The parts of a URL, and its port. Raises ValueError in words of ours: Python's are about Python."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket without its other half, or what stands in brackets and is no address
        raise ValueError(_BAD_HOST) from None
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("must have a port from 1 to 65535, or none")
    return parts, port


def _parse_host(netloc: str, host: str) -> tuple[str, Address | None]:
    """The host in its one spelling, and its address when it is a literal. Raises ValueError."""
    if netloc.startswith("["):
        if "%" in host:
            raise ValueError("an address with a zone cannot be called")
        if not _AFTER_BRACKET.fullmatch(netloc.rpartition("]")[2]):
            raise ValueError(_BAD_HOST)  # some releases of Python pass over what stands there
        try:
            literal = IPv6Address(host)
        except ValueError:
            raise ValueError(_BAD_HOST) from None
        return str(literal), literal
    name = host.lower() if host.isascii() else _ascii_name(host)
    if len(name) > 253 or not _HOST.fullmatch(name) or any(len(label) > 63 for label in name.split(".")):
        raise ValueError("the host name is not valid")
    if _NUMBER.fullmatch(name.rstrip(".").rpartition(".")[2]):
        address = _parse_ipv4(name)
        return str(address), address
    return name, None


def _ascii_name(host: str) -> str:
    """An international name as DNS knows it: UTS 46, non-transitional, then IDNA 2008. Raises ValueError.

    Python's own codec is IDNA 2003, which makes another owner's name of some: fass.de of one with a sharp s.
    """
    import idna  # its tables take 10 ms to load, and few names need them

    try:
        labels = idna.uts46_remap(host, std3_rules=False, transitional=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
    except UnicodeError:
        raise ValueError("the host name is not valid") from None


def _parse_ipv4(text: str) -> IPv4Address:
    """IPv4 in every notation that inet_aton and browsers take: ``127.1``, ``0x7f.0.0.1``, ``017700000001``.

    The rules are those of the WHATWG URL standard, "IPv4 parser". Raises ValueError.
    """
    numbers = [_parse_number(part) for part in text.removesuffix(".").split(".")]
    *leading, last = numbers
    if len(numbers) > 4 or any(number > 255 for number in leading) or last >= 256 ** (5 - len(numbers)):
        raise ValueError("the host looks like an IPv4 address and is not one")
    return IPv4Address(sum(number << (24 - 8 * at) for at, number in enumerate(leading)) + last)


def _parse_number(text: str) -> int:
    try:
        if text.startswith("0x"):
            return int(text[2:] or "0", 16)
        return int(text, 8) if len(text) > 1 and text.startswith("0") else int(text)
    except ValueError:
        raise ValueError("the host looks like an IPv4 address and is not one") from None


def _forms(address: Address) -> tuple[Address, ...]:
    """The address and the IPv4 address inside it, if any: mapped (RFC 4291), compatible, 6to4 (RFC 3056), NAT64 (6052),
    ISATAP (5214).

    A mapped address *is* its IPv4 address to the network stack, so only that one is judged.
    """
    if isinstance(address, IPv4Address):
        return (address,)
    plain = ip_address(address.packed)  # without a zone
    assert isinstance(plain, IPv6Address)
    if plain.ipv4_mapped is not None:
        return (plain.ipv4_mapped,)
    if plain in _NAT64 or (plain in _COMPATIBLE and int(plain) > 1):
        return (plain, IPv4Address(int(plain) & 0xFFFFFFFF))
    if plain in _SIX_TO_FOUR:
        return (plain, IPv4Address((int(plain) >> 80) & 0xFFFFFFFF))
    if (int(plain) >> 32) & ~_ISATAP_UNIVERSAL & 0xFFFFFFFF == _ISATAP:
        return (plain, IPv4Address(int(plain) & 0xFFFFFFFF))
    return (plain,)


def _forbidden(address: Address) -> str | None:
    """The reason why one plain address is out of bounds, or None."""
    if isinstance(address, IPv4Address):
        return next((why for network, why in _FORBIDDEN_V4 if address in network), None)
    why = next((why for network, why in _FORBIDDEN_V6 if address in network), None)
    if why is None and address not in _GLOBAL_V6 and address not in _NAT64:
        return "reserved"
    return why
