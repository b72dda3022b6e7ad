"""What a deployment chooses about triggers that listen, read out of its variables. Imported before anything is
installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from chalicelib.core import variables
from chalicelib.core.errors import SettingsError

VARIABLES: Final = ("CHRONO_LISTEN", "CHRONO_TRIGGER_QUEUES")
EVERY: Final = "*"
_QUEUE: Final = r"arn:[a-z*-]+:sqs:[a-z0-9*?-]+:[0-9*?]+:[A-Za-z0-9_.*?-]+"


class ListenSettings(NamedTuple):
    """``listens``: some worker reads the brokers that triggers name. ``queues`` are those that triggers may read."""

    listens: bool = True
    queues: tuple[str, ...] = ()


def load(env: Mapping[str, str], loopback: bool, on_lambda: bool) -> ListenSettings:
    """The choices that ``env`` states. A function cannot hold a connection, so on Lambda nothing listens unless it is
    said that a worker elsewhere does. Raises SettingsError."""
    listens = variables.choice(env, "CHRONO_LISTEN", "off" if on_lambda else "on", ("on", "off")) == "on"
    return ListenSettings(listens, _queues(env, loopback))


def _queues(env: Mapping[str, str], loopback: bool) -> tuple[str, ...]:
    text = env.get("CHRONO_TRIGGER_QUEUES")
    if text is None:
        return (EVERY,) if loopback else ()
    entries = tuple(filter(None, (part.strip() for part in text.split(","))))
    for entry in entries:
        if entry != EVERY and not re.fullmatch(_QUEUE, entry):
            raise SettingsError(
                "CHRONO_TRIGGER_QUEUES",
                f"must list ARNs such as arn:aws:sqs:eu-west-1:123456789012:orders-*, or *, not {entry[:120]!r}",
            )
    return entries
