"""Whether a tenant's firings are dispatched: its queue is active, or an administrator has paused it."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from chalicelib.core.decoders import decoder_of

QUEUE_NOTE_MAX_CHARS: Final = 256
HELD_CHECK_MS: Final = (
    840_000  # after so long what a pause holds is checked, if it was not woken: near the queue's longest delay
)
HELD_SPREAD_MS: Final = 1_000  # over which the ends of held firings are spread where a pause ends by itself
WAKE_AGAIN_MS: Final = HELD_CHECK_MS + 60_000  # so long after a resumption what is still held is searched for


class QueueState(Struct, frozen=True, omit_defaults=True):
    """The queue of a tenant. ``paused_ms`` None: it is active. ``until_ms``: when the pause ends by itself.
    ``resumed_ms`` is when a caller resumed it last, ``held_from_ms`` the beginning of the pause that this ended."""

    paused_ms: int | None = None
    until_ms: int | None = None
    by: str = ""
    note: str = ""
    resumed_ms: int | None = None
    held_from_ms: int | None = None

    def holds(self, now_ms: int) -> bool:
        """Whether nothing may be dispatched."""
        return self.paused_ms is not None and (self.until_ms is None or now_ms < self.until_ms)

    def check_ms(self, now_ms: int, firing_ms: int) -> int:
        """When to check a firing that it holds: after its end in the order of instants, if that is known."""
        if self.until_ms is None or self.paused_ms is None:
            return now_ms + HELD_CHECK_MS
        place = (firing_ms - self.paused_ms) / (self.until_ms - self.paused_ms)
        return min(now_ms + HELD_CHECK_MS, self.until_ms + 1 + int(min(1.0, max(0.0, place)) * HELD_SPREAD_MS))

    @property
    def was_resumed_lately_ms(self) -> int:
        """Until when its held firings are to be searched for; 0: it was never resumed."""
        return 0 if self.resumed_ms is None else self.resumed_ms + WAKE_AGAIN_MS


ACTIVE: Final = QueueState()


def read(document: str) -> QueueState:
    """The state of a document that ``write`` made."""
    return decoder_of(QueueState).decode(document)


def write(state: QueueState) -> str:
    """The document of a state."""
    return msgspec.json.encode(state, order="sorted").decode()
