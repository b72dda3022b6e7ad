"""Jobs that ping, schedules whose ends are signalled, and people who pause, resume, try and delete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.core.errors import ChronoError, NotFound
from chalicelib.core.notices.rule import Quiet, RuleMatch, Signal
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.engine import notices as engine_notices
from chalicelib.usecases import heartbeats, notices
from chalicelib.usecases.heartbeats import MonitorWish
from chalicelib.usecases.notices import RuleWish
from tests.simulation.alert_plan import PlannedAct
from tests.simulation.world import World

LIMIT_MS = 29_000
AGAIN_MS = 900
KIND_OF = {"": "success", "0": "success", "3": "fail"}


@dataclass(slots=True)
class AlertCall:
    """One call about a monitor or a rule, as its caller knows it. One without an answer may have had its effect until
    its time limit."""

    kind: str
    place: int
    started_ms: int
    ended_ms: int | None = None
    refused: bool = False
    failed: bool = False  # it was answered, and may have had its effect

    @property
    def is_done(self) -> bool:
        """Whether its caller knows that it had its effect."""
        return self.ended_ms is not None and not self.refused

    @property
    def latest_ms(self) -> int:
        """The last moment at which it may have had its effect."""
        return self.started_ms + LIMIT_MS if self.ended_ms is None else self.ended_ms


@dataclass(slots=True)
class SentSignal:
    """The end of something of a schedule, signalled until that was taken."""

    thing: int
    bad: bool
    at_ms: int
    source: str
    taken_ms: int | None = None


class AlertClients:
    """Everybody who calls."""

    def __init__(self, play: Any) -> None:
        self._play = play
        self._world: World = play.world
        self.calls: list[AlertCall] = []
        self.signals: list[SentSignal] = []
        self.monitors: list[Any] = []
        self.rules: list[Any] = []

    def create(self, s: Any) -> None:
        """Make all monitors and rules, before anything goes wrong."""
        plan = self._play.plan
        for one in plan.monitors:
            wish = MonitorWish(
                name="job", type="RATE", expr=f"rate:{one.period_ms // 1000}s", grace_ms=one.grace_ms,
                tags=("t",) if one.tagged else (),
            )  # fmt: skip
            self.monitors.append(heartbeats.create(s, ANONYMOUS_ADMIN, wish, s.ids.ulid(s.clock.now_ms())))
        for rule in plan.rules:
            channels = tuple({"type": "webhook", "url": f"https://c.example/{n}"} for n in range(len(rule.tempers)))
            match = {"match": RuleMatch(tag="t")} if rule.tagged else {}
            quiet = {} if rule.quiet is None else {"quiet": Quiet(*rule.quiet)}
            wish_of_rule = RuleWish(
                name="r", when=rule.when, channels=channels, group_ms=rule.group_ms, **match, **quiet
            )
            made = notices.create(s, ANONYMOUS_ADMIN, wish_of_rule, s.ids.ulid(s.clock.now_ms()))
            self.rules.append(made)
            self._play.tempers[made.id] = rule.tempers

    def begin(self) -> None:
        world, plan = self._world, self._play.plan
        for place in range(len(plan.monitors)):
            world.call_at(world.now + int(world.random.random() * 8_000), self._job(place))
        for thing in range(plan.things):
            world.call_at(world.now + int(world.random.random() * 8_000), self._ending(thing))
        for act in plan.acts:
            if f"call {act.number}" not in self._play.left_out:
                world.call_at(act.at_ms, self._acting(act))

    @property
    def is_done(self) -> bool:
        return all(one.taken_ms is not None for one in self.signals)

    # -- jobs that ping

    def _job(self, place: int) -> Callable[[], None]:
        def go_on() -> None:
            world, planned = self._world, self._play.plan.monitors[place]
            if world.now >= self._play.plan.end_ms:
                return
            draw = world.random.random
            gap_ms = int(planned.period_ms * (0.4 + draw() * 0.6))
            chance = draw()
            if planned.manner == "flapping" and chance < 0.5:
                world.hit("ping: flapping")
                self._ping(place, "fail" if draw() < 0.5 else "")
                gap_ms = 1 + int(draw() * 400)
            elif chance < 0.08:
                self._ping(place, "fail" if draw() < 0.5 else "3")
            elif chance < 0.2:
                self._ping(place, "start")
                gap_ms = int(draw() * 1.6 * planned.grace_ms)
            elif chance < 0.25:
                self._ping(place, "log")
                gap_ms = int(draw() * 1_000)
            else:
                self._ping(place, "" if draw() < 0.7 else "0")
            if planned.manner == "gaps" and draw() < 0.4:
                world.hit("ping: late")
                gap_ms = planned.period_ms + int(draw() * 3 * planned.grace_ms)
            world.call_at(world.now + 1 + gap_ms, go_on)

        return go_on

    def _ping(self, place: int, signal: str, times: int = 0) -> None:
        world = self._world
        kind = KIND_OF.get(signal, signal)
        world.hit(f"ping: {kind}")
        token = self.monitors[place].ping_token

        def again() -> None:
            if times < 2 and world.random.random() < 0.7:
                world.hit("ping: again")
                self._ping(place, signal, times + 1)

        self._ask(AlertCall(kind, place, world.now), lambda s: heartbeats.ping(s, token, signal, ""), again)

    # -- schedules

    def _ending(self, thing: int) -> Callable[[], None]:
        def go_on() -> None:
            world = self._world
            if world.now >= self._play.plan.end_ms:
                return
            bad = world.random.random() < 0.5
            one = SentSignal(thing, bad, world.now, f"{thing}/{len(self.signals)}")
            self.signals.append(one)
            self._signal(one, self._ending(thing))

        return go_on

    def _signal(self, one: SentSignal, then: Callable[[], None]) -> None:
        """As the feed does: in order, again until it is taken, and now and then once more."""
        world = self._world
        signal = Signal(
            subject=f"schedule/{one.thing}", name=str(one.thing), owner=ANONYMOUS_ADMIN.subject, at_ms=one.at_ms,
            causes=("failed",) if one.bad else (), success=not one.bad, source=one.source,
        )  # fmt: skip

        def taken() -> None:
            if one.taken_ms is None:
                one.taken_ms = world.now
                world.call_at(world.now + 1 + int(world.random.random() ** 2 * 40_000), then)
            if world.random.random() < 0.2 and not self._play.is_restored:
                world.hit("signal: again")
                world.call_at(world.now + int(world.random.random() * 5_000), again)

        def again() -> None:
            if one.taken_ms is None or not self._play.is_restored:
                self._signal(one, then)

        def work(s: Any) -> None:
            engine_notices.signal(s, ANONYMOUS_ADMIN.tenant, [signal])
            taken()

        self._ask(AlertCall("signal", one.thing, world.now), work, lambda: None if one.taken_ms else again())

    # -- people

    def _acting(self, act: PlannedAct) -> Callable[[], None]:
        def act_now() -> None:
            self.act(act.kind, act.place)

        return act_now

    def act(self, kind: str, place: int) -> None:
        """Call the API once."""
        of_rule = kind in ("test", "delete", "calm")
        things = self.rules if of_rule else self.monitors
        place %= len(things)
        thing_id = things[place].id
        calls: dict[str, Callable[[Any], Any]] = {
            "pause": lambda s: heartbeats.pause(s, ANONYMOUS_ADMIN, thing_id, None),
            "resume": lambda s: heartbeats.resume(s, ANONYMOUS_ADMIN, thing_id, None),
            "test": lambda s: notices.test(s, ANONYMOUS_ADMIN, thing_id, None),
            "delete": lambda s: notices.delete(s, ANONYMOUS_ADMIN, thing_id, None),
            "calm": lambda s: notices.edit(s, ANONYMOUS_ADMIN, thing_id, RuleWish(clear_quiet=True), None),
        }
        self._world.hit(f"call: {kind}")
        self._ask(AlertCall(kind, place, self._world.now), calls[kind], lambda: None)

    def of(self, place: int, *kinds: str) -> list[AlertCall]:
        """Calls of these kinds about one thing, by when they began. What was refused changed nothing."""
        return [c for c in self.calls if c.place == place and c.kind in kinds and not c.refused]

    def _ask(self, call: AlertCall, what: Callable[[Any], Any], again: Callable[[], None]) -> None:
        world = self._world
        self.calls.append(call)
        instance = self._play.fleet.any_alive()
        if instance is None:
            call.refused, call.ended_ms = True, world.now
            world.call_at(world.now + AGAIN_MS, again)
            return
        if world.told is not None and call.kind != "signal":
            world.tell("client", f"{call.kind} {call.place} by {instance.name}")

        def work() -> None:
            try:
                what(instance.services)
            except NotFound:
                call.refused, call.ended_ms = True, world.now
                return
            except ChronoError:
                call.failed = True
                world.call_at(world.now + AGAIN_MS, again)
                return
            call.ended_ms = world.now

        world.invoke(instance, work, LIMIT_MS)
        world.call_at(world.now + LIMIT_MS + AGAIN_MS, lambda: self._given_up(call, again))

    def _given_up(self, call: AlertCall, again: Callable[[], None]) -> None:
        """Its worker died, or it took too long."""
        if call.ended_ms is None and not call.failed:
            again()
