"""A thing that moves on between the read and the write of a call is left as it is, where the call names a version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core.errors import PreconditionFailed
from chalicelib.core.executions.bulk_job import BulkJob
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.workflows.run_state import version_of
from chalicelib.ports.services import Services
from chalicelib.usecases import bulk_jobs, heartbeats, runs, ticks, trigger_settings
from chalicelib.usecases.trigger_settings import TriggerRequest
from tests.kit.alert_play import AlertPlay
from tests.kit.services import make_services, with_stores
from tests.kit.workflow_play import Play

GATE = {"id": "g", "type": "approval", "approvers": ["ann"]}
DELAY = {"id": "d", "type": "delay", "for_ms": 60_000}
TRIGGER_ID = "01KB" + "0" * 22
TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}


class Overtaken:
    """A store in which another caller is faster: ``first`` happens just before the first call of a method."""

    def __init__(self, inner: Any, method: str, first: Callable[[], object]) -> None:
        self._inner, self._method, self._first = inner, method, first
        self.is_overtaken = False

    def __getattr__(self, name: str) -> Any:
        if name == self._method and not self.is_overtaken:
            self.is_overtaken = True
            self._first()
        return getattr(self._inner, name)


def overtaken(s: Services, store: str, method: str, first: Callable[[], object]) -> tuple[Services, Overtaken]:
    made: Any = Overtaken(getattr(s.stores, store), method, first)
    return with_stores(s, **{store: made}), made


@pytest.mark.parametrize("names_version", [True, False])
def test_a_run(names_version: bool) -> None:
    play = Play()
    play.publish("w", [TRIGGER, GATE, DELAY], [("t", "g"), ("g", "d")])
    run = play.start("w")
    play.settle()
    state = play.state(run)
    gate = state.nodes["g"].gate
    assert gate is not None
    s, store = overtaken(
        play.s, "runs", "append", lambda: runs.decide(play.s, ANONYMOUS_ADMIN, run, "g", gate.nonce, True, "")
    )
    seen = [version_of(state)] if names_version else None
    if names_version:
        with pytest.raises(PreconditionFailed):
            runs.cancel(s, ANONYMOUS_ADMIN, run, "enough", seen)
    else:
        runs.cancel(s, ANONYMOUS_ADMIN, run, "enough", seen)
    assert store.is_overtaken
    assert (play.state(run).reason == "", play.state(run).nodes["g"].status) == (names_version, "completed")


@pytest.mark.parametrize("names_version", [True, False])
def test_a_bulk_job(names_version: bool) -> None:
    base = make_services()
    job = BulkJob(
        tenant="default",
        id="0" * 26,
        action="cancel",
        subject="ann",
        owner_only=None,
        to_ms=1,
        matched=2,
        created_ms=1,
    )
    kept = base.stores.bulk_jobs
    assert kept.save(job, 0)
    s, store = overtaken(base, "bulk_jobs", "save", lambda: kept.save(job.after_slice(1, 0, "x"), job.rev))
    if names_version:
        with pytest.raises(PreconditionFailed):
            bulk_jobs.cancel(s, ANONYMOUS_ADMIN, job.id, [job.version])
    else:
        bulk_jobs.cancel(s, ANONYMOUS_ADMIN, job.id)
    assert store.is_overtaken
    found = kept.load("default", job.id)
    assert found is not None
    assert (found.state, found.done) == ("running" if names_version else "cancelled", 1)


@pytest.mark.parametrize("names_version", [True, False])
def test_a_stream_of_ticks(names_version: bool) -> None:
    base = make_services()
    version = ticks.view(base, ANONYMOUS_ADMIN, "hour").version
    other = {"type": "webhook", "url": "https://example.com/"}
    s, store = overtaken(base, "ticks", "save", lambda: ticks.enable(base, ANONYMOUS_ADMIN, "hour", other))
    if names_version:
        with pytest.raises(PreconditionFailed):
            ticks.enable(s, ANONYMOUS_ADMIN, "hour", None, [version])
    else:
        ticks.enable(s, ANONYMOUS_ADMIN, "hour", None)
    assert store.is_overtaken
    assert ticks.view(base, ANONYMOUS_ADMIN, "hour").target == (other if names_version else None)


@pytest.mark.parametrize("verb", ["edit", "pause", "delete"])
def test_a_monitor(verb: str) -> None:
    play = AlertPlay()
    made = play.monitor()
    calls: dict[str, Callable[[Services], object]] = {
        "edit": lambda s: heartbeats.edit(
            s, ANONYMOUS_ADMIN, made.id, heartbeats.MonitorWish(name="mine"), [made.version]
        ),
        "pause": lambda s: heartbeats.pause(s, ANONYMOUS_ADMIN, made.id, [made.version]),
        "delete": lambda s: heartbeats.delete(s, ANONYMOUS_ADMIN, made.id, [made.version]),
    }
    theirs = heartbeats.MonitorWish(name="theirs")
    method = "delete" if verb == "delete" else "save"
    s, store = overtaken(
        play.s, "alerts", method, lambda: heartbeats.edit(play.s, ANONYMOUS_ADMIN, made.id, theirs, None)
    )
    with pytest.raises(PreconditionFailed):
        calls[verb](s)
    assert store.is_overtaken
    found = heartbeats.get(play.s, ANONYMOUS_ADMIN, made.id)
    assert (found.name, found.state) == ("theirs", "new")


@pytest.mark.parametrize("names_version", [True, False])
@pytest.mark.parametrize("verb", ["edit", "pause", "delete"])
def test_a_trigger(verb: str, names_version: bool) -> None:
    base = make_services()
    wanted = TriggerRequest(name="t", source={"type": "webhook"})
    made = trigger_settings.create(base, ANONYMOUS_ADMIN, wanted, TRIGGER_ID)
    seen = [made.version] if names_version else None
    calls: dict[str, Callable[[Services], object]] = {
        "edit": lambda s: trigger_settings.edit(s, ANONYMOUS_ADMIN, TRIGGER_ID, TriggerRequest(owner="mine"), seen),
        "pause": lambda s: trigger_settings.switch(s, ANONYMOUS_ADMIN, TRIGGER_ID, False, seen),
        "delete": lambda s: trigger_settings.delete(s, ANONYMOUS_ADMIN, TRIGGER_ID, seen),
    }

    def first() -> None:
        trigger_settings.edit(base, ANONYMOUS_ADMIN, TRIGGER_ID, TriggerRequest(owner="theirs", tags=["theirs"]), None)

    s, store = overtaken(base, "schedules", "change", first)
    if names_version:
        with pytest.raises(PreconditionFailed):
            calls[verb](s)
        found = trigger_settings.get(base, ANONYMOUS_ADMIN, TRIGGER_ID).schedule.definition
        assert (found.owner, list(found.tags), found.active) == ("theirs", ["theirs"], True)
    else:
        calls[verb](s)
    assert store.is_overtaken
