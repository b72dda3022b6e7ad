"""What a channel of a notification must say beyond what its node says. Judged when a workflow is published, and never
again: what was published before goes on to run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from chalicelib.core.errors import FieldError
from chalicelib.core.targets.webhook_signature import ref_of
from chalicelib.core.workflows.node_rules import header_problems, url_problems

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "webhook": ("url", "headers"), "slack": ("url",), "pagerduty": ("routing_key", "url"), "sns": ("topic_arn",),
    "email": ("to", "from", "subject"),
}  # fmt: skip
_ROUTING_KEY: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


def channel_problems(channel: Mapping[str, Any]) -> Iterator[FieldError]:
    """All that is wrong with the fields of a channel whose type is known. Places are relative to the node."""
    for name in channel.keys() - {"type", *_FIELDS[channel["type"]]}:
        yield FieldError(f"channel.{name}", f"is not a field of channels of {channel['type']}")
    if "url" in channel:
        yield from _url(channel["url"])
    if "headers" in channel:
        yield from _headers(channel["headers"])
    key = channel.get("routing_key")
    if channel["type"] == "pagerduty" and ref_of(key) is None and not _is_routing_key(key):
        yield FieldError("channel.routing_key", 'must be a key of 1 to 128 characters, or {"secret_ref": …}')


def target_of(channel: Mapping[str, Any]) -> dict[str, object] | None:
    """The target that a channel sends to, where it sends to one."""
    return {"type": "sns", "topic_arn": channel["topic_arn"]} if channel["type"] == "sns" else None


def _url(url: Any) -> Iterator[FieldError]:
    if not isinstance(url, str):
        yield FieldError("channel.url", "must be a URL as text: it is never evaluated")
        return
    yield from url_problems("channel.url", url)


def _headers(headers: Any) -> Iterator[FieldError]:
    if not isinstance(headers, Mapping):
        yield FieldError("channel.headers", "must be an object")
        return
    yield from header_problems("channel.headers", headers)


def _is_routing_key(key: Any) -> bool:
    return isinstance(key, str) and _ROUTING_KEY.fullmatch(key) is not None
