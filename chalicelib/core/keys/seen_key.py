"""What a process read of an API key, and for how long it may go by that."""

from __future__ import annotations

from msgspec import Struct

from chalicelib.core.keys.api_key import ApiKey


class SeenKey(Struct, frozen=True):
    """What a read said of an id: the key (None: there is none) and its last use, as of ``read_ms``."""

    key: ApiKey | None
    used_ms: int | None
    read_ms: int

    def is_younger(self, now_ms: int, age_max_ms: int) -> bool:
        """Whether it was read in the last ``age_max_ms``; after a step back of the clock it was not."""
        return 0 <= now_ms - self.read_ms < age_max_ms
