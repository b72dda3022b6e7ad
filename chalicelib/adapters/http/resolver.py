"""Names to addresses, with an end: ``getaddrinfo`` itself knows no timeout and may take half a minute."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from queue import Empty, SimpleQueue

from chalicelib.core.targets.ssrf import Address

Resolver = Callable[[str, int], Sequence[str]]

LOOKUPS_MAX = 64

# A look-up that hangs keeps its thread until the system gives up; this bounds how many can hang at once.
_slots = threading.BoundedSemaphore(LOOKUPS_MAX)


def system_resolver(host: str, port: int) -> list[str]:
    """The system's answer in the system's order of preference (RFC 6724). Raises socket.gaierror."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def resolve_within(resolve: Resolver, host: str, port: int, timeout_s: float) -> tuple[Address, ...]:
    """The addresses of ``host``. Raises socket.gaierror when it has none, TimeoutError after ``timeout_s``."""
    if not _slots.acquire(timeout=timeout_s):
        raise TimeoutError("too many names are being resolved at once")
    answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()
    try:
        threading.Thread(target=_look_up, args=(resolve, host, port, answers), daemon=True, name="resolve").start()
    except RuntimeError:  # the process may have no more threads
        _slots.release()
        raise
    try:
        answer = answers.get(timeout=timeout_s)
    except Empty:
        raise TimeoutError(f"{host} was not resolved in time") from None
    if isinstance(answer, Exception):
        raise answer
    if not answer:
        raise socket.gaierror(socket.EAI_NONAME, f"{host} has no address")
    return tuple(ip_address(text) for text in answer)


def _look_up(resolve: Resolver, host: str, port: int, answers: SimpleQueue[Sequence[str] | Exception]) -> None:
    try:
        answers.put(resolve(host, port))
    except Exception as error:  # handed to the thread that asked
        answers.put(error)
    finally:
        _slots.release()
