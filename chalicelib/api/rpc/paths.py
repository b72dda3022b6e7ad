"""Where calls of Connect and gRPC-Web come in. Apart, since who only asks this need not load the messages."""

from __future__ import annotations

from typing import Final

RPC_PREFIX: Final = "/chronowatch.v1."
RPC_HELD: Final = frozenset({"/chronowatch.v1.LeaseService/Acquire"})  # may wait
