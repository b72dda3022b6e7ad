"""Leases: a holder with a name of its own, and a command that runs while a lease is held."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Final
from urllib.parse import quote

import click

from chronosctl import output
from chronosctl.commands import Shared, argument, command, session_of, verbs
from chronosctl.faults import CONFLICT, Fault, usage
from chronosctl.session import Session

_TTL_MS: Final = 15_000
_KILL_AFTER_MS: Final = 5_000
_POLL_S: Final = 0.05
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_operations = verbs("leases")


def holder() -> str:
    """Who asks, where nobody says: the user at this machine, so that a later call is the same holder."""
    user = os.environ.get("USER") or os.environ.get("USERNAME") or f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:128]


def _as_me(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    body.setdefault("holder_id", holder())


def _with_token(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    """The token that the service knows, where the lease is ours."""
    body.setdefault("holder_id", holder())
    if "fencing_token" in body or "name" not in body:
        return
    session = session_of(click.get_current_context())
    found = session.call("GET", f"/api/v1/leases/{quote(body['name'], safe='')}")
    if found["holder_id"] != body["holder_id"]:
        who = found["holder_id"] or "nobody"
        raise Fault(f"lease_not_held: {who} holds {body['name']}, not {body['holder_id']}", CONFLICT)
    body["fencing_token"] = found["fencing_token"]


renew = command(_operations["renew"], _with_token, filled=("name", "holder_id", "fencing_token"))
release = command(_operations["release"], _with_token, filled=("name", "holder_id", "fencing_token"))


def _acquired(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    _as_me(body, given)
    body.setdefault("ttl_ms", 4 * _TTL_MS)


def _acquire(**given: Any) -> None:
    from chronosctl.commands import body_of

    session = session_of(click.get_current_context())
    body = body_of(_operations["acquire"], given, _acquired)
    wait_s = body.get("wait_ms", 0) / 1000
    answer = session.call("POST", "/api/v1/leases:acquire", body, timeout=session.timeout_s + wait_s)
    output.one({"name": body["name"], "holder_id": body["holder_id"], **answer}, session.output)
    if not answer["acquired"]:
        click.get_current_context().exit(CONFLICT)


acquire = command(_operations["acquire"], filled=("name", "holder_id", "ttl_ms"))
acquire.callback = _acquire


@click.command(
    "run",
    cls=Shared,
    params=[argument("name", required=False)],
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--name", help="The lease, as the argument.")
@click.option("--ttl-ms", type=click.IntRange(100, 86_400_000), default=_TTL_MS, show_default=True)
@click.option(
    "--wait-ms", type=click.IntRange(0), help="Give up after so long; without it, wait for ever. 0: ask once."
)
@click.option("--holder-id", help="The holder; by default this process.")
@click.option("--metadata", metavar="JSON", help="Kept with the holding.")
@click.option(
    "--kill-after-ms", type=click.IntRange(0), default=_KILL_AFTER_MS, show_default=True,
    help="How long CMD has to end after SIGTERM; then it is killed.",
)  # fmt: skip
@click.pass_context
def run(context: click.Context, /, path__name: str | None, command: Sequence[str], **how: Any) -> None:
    """Hold a lease while CMD runs: leases run NAME -- CMD…

    CMD gets CHRONO_FENCING_TOKEN. It is ended when the lease is lost, or on SIGTERM; then the lease is released. The
    exit code is CMD's.
    """
    words = [each for each in ((path__name,) if path__name else ()) + tuple(command) if each is not None]
    name = how["name"]
    if name is None:
        if not words:
            raise usage("the lease is missing", "as in: chronosctl leases run nightly -- ./report.sh")
        name, words = words[0], words[1:]
    if words[:1] == ["--"]:
        words = words[1:]
    if not words:
        raise usage("CMD is missing", "as in: chronosctl leases run nightly -- ./report.sh")
    context.exit(_Run(session_of(context), name, words, how).run())


class _Interrupted(BaseException):
    """Raised out of the wait for the lease by a signal."""


class _Run:
    """One lease and one command."""

    def __init__(self, session: Session, name: str, words: Sequence[str], how: Mapping[str, Any]) -> None:
        self._session, self._name, self._words, self._how = session, name, words, how
        self._signal: int = 0
        self._waiting = True

    def run(self) -> int:
        """The exit code."""
        with self._signals():
            try:
                lease = self._acquire()
            except _Interrupted:
                return 128 + self._signal
            try:
                return self._under(lease)
            finally:
                lease.release()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self._take) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        if self._waiting:
            raise _Interrupted

    def _signalled(self) -> int:
        return self._signal

    def _acquire(self) -> Any:
        from chronosctl import options
        from chronowatch.errors import NotAcquired
        from chronowatch.leases import Lease, Leases, Terms, default_margin, elapsed_clock, new_holder_id, wait_for

        ttl, how = self._how["ttl_ms"] / 1000, self._how
        wait = None if how["wait_ms"] is None else how["wait_ms"] / 1000
        metadata = options.json_of("--metadata", how["metadata"]) if how["metadata"] else None
        terms = Terms(self._name, how["holder_id"] or new_holder_id(), ttl, default_margin(ttl), metadata)
        leases, clock = Leases(self._session.transport), elapsed_clock()
        try:
            grant = wait_for(leases, terms, clock, wait=wait)
        except NotAcquired as held:
            hint = "a longer --wait-ms waits for it; `chronosctl leases get NAME` shows who has it"
            raise Fault(str(held), CONFLICT, hint) from None
        self._waiting = False
        assert grant is not None, "nothing stops this wait"
        return Lease(leases, terms, grant, clock)

    def _under(self, lease: Any) -> int:
        env = {
            **os.environ,
            "CHRONO_FENCING_TOKEN": str(lease.fencing_token),
            "CHRONO_LEASE_NAME": lease.name,
            "CHRONO_LEASE_HOLDER_ID": lease.holder_id,
        }
        # On a terminal CMD stays in its group, so that it can read from it. Elsewhere its children end with it.
        apart = not sys.stdin.isatty()
        if number := self._signalled():
            return 128 + number
        try:
            child = subprocess.Popen(self._words, env=env, start_new_session=apart)  # noqa: S603 (the caller's command)
        except OSError as problem:
            code = 127 if isinstance(problem, FileNotFoundError) else 126
            raise Fault(f"{self._words[0]}: {problem.strerror}", code, "what follows -- is the command") from None
        while child.poll() is None:
            if number := self._signalled():
                self._end(child, apart, number)
                return child.returncode if child.returncode >= 0 else 128 - child.returncode
            if not lease.held:
                self._end(child, apart, signal.SIGTERM)
                hint = "another may hold it by now; CMD was ended"
                raise Fault(f"lease_not_held: the lease {lease.name} was lost while CMD ran", CONFLICT, hint)
            lease.wait_until_lost(timeout=_POLL_S)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    def _end(self, child: subprocess.Popen[bytes], apart: bool, number: int) -> None:
        def send(each: int) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, each) if apart else child.send_signal(each)

        send(signal.SIGTERM if number == signal.SIGHUP else number)
        killer = threading.Timer(self._how["kill_after_ms"] / 1000, send, [signal.SIGKILL])
        killer.daemon = True
        killer.start()
        while child.poll() is None:
            time.sleep(_POLL_S)
        killer.cancel()
        if apart:
            send(signal.SIGKILL)  # what CMD started and left behind must not go on without the lease
