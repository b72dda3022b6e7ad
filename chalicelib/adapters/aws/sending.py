"""Learning when a call of this thread is on its way: from then on it only waits, and keeps no processor busy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Listening(threading.local):
    """What a thread wants to be called when its next request is written."""

    when_sent: Callable[[], None] | None = None


_listening = _Listening()


@contextmanager
def listening(when_sent: Callable[[], None]) -> Iterator[None]:
    """Let ``when_sent`` be called once, as soon as the first request inside is written to its connection."""
    _listening.when_sent = when_sent
    try:
        yield
    finally:
        _listening.when_sent = None


def written() -> None:
    """A request of this thread is written."""
    when_sent, _listening.when_sent = _listening.when_sent, None
    if when_sent is not None:
        when_sent()
