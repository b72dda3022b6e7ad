"""The kind ``webhook``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.core.json_schema import states
from chalicelib.core.secrets.secret_ref import FORMS, PATTERN, REF_MAX_CHARS
from chalicelib.core.targets import ssrf, webhook_signature
from chalicelib.core.targets.limits import URL_MAX_CHARS, WEBHOOK_TIMEOUT_DEFAULT_MS, WEBHOOK_TIMEOUT_MAX_MS
from chalicelib.core.targets.target_description import (
    READS_SECRETS,
    FieldRule,
    StoredTarget,
    TargetDescription,
    TargetFields,
    TargetName,
)

Method = Literal["POST", "PUT", "PATCH", "DELETE", "GET"]
METHODS: Final[tuple[str, ...]] = get_args(Method)


WebhookUrl = Annotated[
    str,
    Meta(min_length=1, max_length=URL_MAX_CHARS, examples=["https://example.com/hook"]),
    states(pattern=ssrf.URL_PATTERN),
]
_HeaderName = Annotated[str, states(pattern=f"^{webhook_signature.NAME_PATTERN}$")]
_HeaderText = Annotated[
    str, states(pattern=f"^{webhook_signature.VALUE_PATTERN}$", maxLength=webhook_signature.HEADER_VALUE_MAX_CHARS)
]


class HeaderSecret(Struct, forbid_unknown_fields=True):
    """The value of a header that is kept in a store of secrets: read at each delivery, never shown."""

    secret_ref: Annotated[str, Meta(min_length=1, max_length=REF_MAX_CHARS), states(pattern=f"^{PATTERN}$")]


class WebhookTarget(TargetFields, tag="webhook", kw_only=True):
    """An HTTP(S) endpoint, called with the firing's CloudEvent and Standard Webhooks headers."""

    url: WebhookUrl
    method: Method | UnsetType = UNSET
    headers: (
        Annotated[
            dict[_HeaderName, _HeaderText | HeaderSecret], states(maxProperties=webhook_signature.HEADERS_MAX_COUNT)
        ]
        | UnsetType
    ) = UNSET
    secret_ref: Annotated[TargetName | UnsetType, Meta(description=f"Where the signing key is kept: `{FORMS}`.")] = (
        UNSET
    )
    timeout_ms: Annotated[int, Meta(ge=1, le=WEBHOOK_TIMEOUT_MAX_MS)] | UnsetType = UNSET


def _check_headers(headers: Mapping[str, object], _allow: Sequence[str]) -> str | None:
    return webhook_signature.check_headers(headers)


def _header_refs(target: StoredTarget) -> Mapping[str, str]:
    """The references whose values are sent, by the field that an error names."""
    return {f"headers.{name}": ref for name, ref in webhook_signature.header_refs(target.get("headers")).items()}


def _origin_of(target: StoredTarget) -> str:
    return _origin(str(target.get("url")))


@lru_cache(maxsize=1024)
def _origin(url: str) -> str:
    """Scheme, host and port (RFC 6454); the port that the scheme implies is left out."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, ssrf.DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{(parts.hostname or '').lower()}{port}"


KIND = TargetDescription(
    fields=WebhookTarget,
    rules={
        "url": FieldRule(f"a text of 1 to {URL_MAX_CHARS} characters", check=ssrf.check_url),
        "method": FieldRule("one of " + ", ".join(METHODS)),
        "headers": FieldRule("an object of texts and of references to secrets", check=_check_headers),
        "secret_ref": FieldRule(FORMS, PATTERN),
        "timeout_ms": FieldRule(f"from 1 to {WEBHOOK_TIMEOUT_MAX_MS}"),
    },
    defaults={"method": "POST", "timeout_ms": WEBHOOK_TIMEOUT_DEFAULT_MS},
    secret_fields=("secret_ref",),
    header_refs=_header_refs,
    destination=_origin_of,
    max_batch=1,
    permissions=READS_SECRETS,
    sent_as="an HTTP request, see below",
    completed_means="a 2xx answer",
)
