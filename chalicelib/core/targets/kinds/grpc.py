"""The kind ``grpc``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.core.json_schema import states
from chalicelib.core.secrets.secret_ref import PATTERN, REF_MAX_CHARS
from chalicelib.core.targets.broker_address import address_check
from chalicelib.core.targets.kinds.webhook import HeaderSecret
from chalicelib.core.targets.limits import (
    TARGET_NAME_MAX_CHARS,
    URL_MAX_CHARS,
    WEBHOOK_TIMEOUT_DEFAULT_MS,
    WEBHOOK_TIMEOUT_MAX_MS,
)
from chalicelib.core.targets.target_description import (
    READS_SECRETS,
    FieldRule,
    StoredTarget,
    TargetDescription,
    TargetFields,
)
from chalicelib.core.targets.webhook_signature import header_refs, ref_of

PORTS: Final = {"": 443}  # a form without a port is refused before
ADDRESS_PATTERN: Final = r"[^\s\x00-\x1f/?#@]+:[0-9]{1,5}"
METHOD_PATTERN: Final = r"/[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*/[A-Za-z_][A-Za-z0-9_]*"
SERVER_NAME_PATTERN: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
METADATA_MAX_COUNT: Final = 50
METADATA_NAME_PATTERN: Final = r"[a-z0-9_.-]{1,128}"
METADATA_VALUE_PATTERN: Final = r"[\x20-\x7e]*"
METADATA_VALUE_MAX_CHARS: Final = 4096
# Ours to set, or of the connection.
_RESERVED: Final = frozenset(
    {
        *("content-type", "te", "user-agent", "host", "connection", "content-length", "transfer-encoding"),
        *("idempotency-key", "traceparent", "x-chrono-depth"),
    }
)
_NAME = re.compile(METADATA_NAME_PATTERN, re.ASCII)
_VALUE = re.compile(METADATA_VALUE_PATTERN, re.ASCII)


class GrpcTls(Struct, forbid_unknown_fields=True, kw_only=True):
    """TLS with certificates of one's own. `secret_ref` names a JSON object of texts in PEM: `ca`, and `certificate`
    with `key` where the server asks for one. `server_name` is the name that the server's certificate is checked for."""

    secret_ref: (
        Annotated[str, Meta(min_length=1, max_length=REF_MAX_CHARS), states(pattern=f"^{PATTERN}$")] | UnsetType
    ) = UNSET
    server_name: (
        Annotated[str, Meta(min_length=1, max_length=253), states(pattern=f"^{SERVER_NAME_PATTERN}$")] | UnsetType
    ) = UNSET


_MetadataName = Annotated[str, states(pattern=f"^{METADATA_NAME_PATTERN}$")]
_MetadataText = Annotated[str, states(pattern=f"^{METADATA_VALUE_PATTERN}$", maxLength=METADATA_VALUE_MAX_CHARS)]


class GrpcTarget(TargetFields, tag="grpc", kw_only=True):
    """A unary method of a gRPC service, which takes an `io.cloudevents.v1.CloudEvent`."""

    address: Annotated[str, Meta(min_length=1, max_length=URL_MAX_CHARS, examples=["orders.example.com:443"])]
    method: Annotated[str, Meta(min_length=1, max_length=TARGET_NAME_MAX_CHARS, examples=["/shop.v1.OrderService/Due"])]
    tls: bool | GrpcTls | UnsetType = UNSET
    metadata: (
        Annotated[dict[_MetadataName, _MetadataText | HeaderSecret], states(maxProperties=METADATA_MAX_COUNT)]
        | UnsetType
    ) = UNSET
    timeout_ms: Annotated[int, Meta(ge=1, le=WEBHOOK_TIMEOUT_MAX_MS)] | UnsetType = UNSET


def check_metadata_value(value: object) -> str | None:
    """What is wrong with a value of metadata, or None. Never quotes it: it may be a secret's."""
    if not isinstance(value, str):
        return 'must be a string or {"secret_ref": …}'
    if len(value) > METADATA_VALUE_MAX_CHARS or not _VALUE.fullmatch(value):
        return f"must be at most {METADATA_VALUE_MAX_CHARS} printable characters of ASCII"
    return None


def check_metadata(metadata: Mapping[str, object], _allow: Sequence[str] = ()) -> str | None:
    """What is wrong with a target's own metadata, or None."""
    if len(metadata) > METADATA_MAX_COUNT:
        return f"at most {METADATA_MAX_COUNT} entries"
    for name, value in metadata.items():
        if problem := _entry_problem(name, value):
            return f"{name[:128]!r} {problem}"
    return None


def check_tls(tls: object, _allow: Sequence[str] = ()) -> str | None:
    """What is wrong with a server's name, or None."""
    name = tls.get("server_name") if isinstance(tls, Mapping) else None
    if name is not None and not re.fullmatch(SERVER_NAME_PATTERN, str(name), re.ASCII):
        return "must have a server_name of letters, digits, '.', '_' and '-'"
    return None


def tls_ref(target: StoredTarget) -> str | None:
    """The reference to certificates, or None."""
    tls = target.get("tls")
    ref = tls.get("secret_ref") if isinstance(tls, Mapping) else None
    return ref if isinstance(ref, str) else None


def _entry_problem(name: str, value: object) -> str | None:
    if not _NAME.fullmatch(name):
        return "is not a name of metadata: lower-case letters, digits, '_', '.' and '-'"
    if name in _RESERVED or name.startswith("grpc-"):
        return "is set by the service"
    if name.endswith("-bin"):
        return "is a name of binary metadata, which is not sent"
    return None if ref_of(value) is not None else check_metadata_value(value)


def _sent_secrets(target: StoredTarget) -> Mapping[str, str]:
    """The references whose values are sent or vouch for the service, by the field that an error names."""
    sent = {f"metadata.{name}": ref for name, ref in header_refs(target.get("metadata")).items()}
    certificates = tls_ref(target)
    return sent if certificates is None else {**sent, "tls.secret_ref": certificates}


def _destination(target: StoredTarget) -> str:
    return f"grpc/{str(target.get('address')).lower()}"


def _checked(address: Any, allow: Sequence[str]) -> str | None:
    return address_check(PORTS)(address, allow)


KIND = TargetDescription(
    fields=GrpcTarget,
    rules={
        "address": FieldRule("a text such as host:port", ADDRESS_PATTERN, _checked),
        "method": FieldRule("a text such as /package.Service/Method", METHOD_PATTERN),
        "tls": FieldRule("true, false, or an object of secret_ref and server_name", check=check_tls),
        "metadata": FieldRule("an object of texts and of references to secrets", check=check_metadata),
        "timeout_ms": FieldRule(f"from 1 to {WEBHOOK_TIMEOUT_MAX_MS}"),
    },
    defaults={"tls": False, "timeout_ms": WEBHOOK_TIMEOUT_DEFAULT_MS},
    secret_fields=(),
    header_refs=_sent_secrets,
    destination=_destination,
    max_batch=1,
    permissions=READS_SECRETS,
    sent_as="a unary call; the request is an `io.cloudevents.v1.CloudEvent`",
    completed_means="the status OK",
)
