"""An API key as it is kept: whose it is, what it may do and from where. Of its text only the hash."""

from __future__ import annotations

import ipaddress

import msgspec
from msgspec import Struct

from chalicelib.core.decoders import decoder_of

ADMIN = "admin"
ROLES_DEFAULT = ("user",)  # of a key that is made without roles and permissions: its owner's things


class ApiKey(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``created_by`` is the subject that made it, ``created_with`` their credential. ``request`` stands for that call.

    It has ``roles`` or ``permissions``, not both. Without ``cidrs`` it may be used from everywhere, without
    ``expires_at_unix_ms`` for ever. ``replaces`` is the id of the key whose rotation made this one.
    """

    tenant: str
    id: str
    name: str
    owner: str
    sha256: str
    created_at_unix_ms: int
    created_by: str
    created_with: str = ""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    expires_at_unix_ms: int | None = None
    cidrs: tuple[str, ...] = ()
    replaces: str | None = None
    request: str = ""
    rev: int = 1
    hlc: str = ""
    origin: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether it can do all that its tenant's admins can."""
        return ADMIN in self.roles

    def is_live(self, now_ms: int) -> bool:
        """Whether it has not ended."""
        return self.expires_at_unix_ms is None or now_ms < self.expires_at_unix_ms

    def admits(self, source_ip: str | None) -> bool:
        """Whether it may be used from this address. An address that is not known is none of its networks'."""
        if not self.cidrs:
            return True
        address = _address(source_ip)
        return address is not None and any(address in ipaddress.ip_network(cidr) for cidr in self.cidrs)


def _address(source_ip: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; that of IPv4 where it came in IPv6's clothes, as on a socket for both."""
    try:
        address = ipaddress.ip_address(source_ip or "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


_encode = msgspec.json.Encoder().encode
_decode = decoder_of(ApiKey).decode


def write(key: ApiKey) -> str:
    """The document of a key; ``read`` gives back an equal one."""
    return _encode(key).decode()


def read(document: str) -> ApiKey:
    """The key of a document. Fields that a newer release added are left out.

    Raises ValueError when the text is not such a document.
    """
    return _decode(document)
