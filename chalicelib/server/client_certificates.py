"""Client certificates as Python's ``ssl`` describes them, in the words of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chalicelib.api.http.connection import ClientCertificate

_ATTRIBUTES: Final = {
    "commonName": "CN",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "streetAddress": "STREET",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "domainComponent": "DC",
    "userId": "UID",
}


def read(described: Mapping[str, Any] | None) -> ClientCertificate | None:
    """What ``SSLObject.getpeercert()`` answered; None where there was no certificate."""
    if not described:
        return None
    names: dict[str, list[str]] = {}
    for kind, value in described.get("subjectAltName", ()):
        if isinstance(value, str):
            names.setdefault(kind, []).append(value)
    return ClientCertificate(
        subject=_distinguished(described.get("subject", ())),
        issuer=_distinguished(described.get("issuer", ())),
        serial=str(described.get("serialNumber", "")),
        dns=tuple(names.get("DNS", ())),
        uris=tuple(names.get("URI", ())),
        emails=tuple(names.get("email", ())),
        addresses=tuple(names.get("IP Address", ())),
    )


def _distinguished(name: Any) -> str:
    """RFC 4514: the last part first, parts with several attributes joined by a plus."""
    return ",".join("+".join(f"{_ATTRIBUTES.get(k, k)}={_escaped(v)}" for k, v in part) for part in reversed(name))


def _escaped(value: str) -> str:
    text = "".join(f"\\{c}" if c in ',+"\\<>;=' else "\\00" if c == "\0" else c for c in value)
    if text.startswith(("#", " ")):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and len(text) > 1 else text
