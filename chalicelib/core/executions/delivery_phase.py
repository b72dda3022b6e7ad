"""The phases of one delivery in its worker's hands, from its place in line to its end, as a table.

    waiting ────> admitted | held_back
    admitted ───> dispatched | held_back | dropped
    dispatched ─> running | answered
    running ────> answered | fenced
    answered ───> recorded | fenced

An execution's record outlives its worker; a phase does not. One thread at a time moves it: the job that sends the
delivery until that is dispatched, its supervisor from then on.
"""

from __future__ import annotations

from enum import StrEnum


class DeliveryPhase(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"  # in line for its turn and for a place within the limits
    ADMITTED = "admitted"  # its turn has come; what waited long is rechecked
    DISPATCHED = "dispatched"  # its target has it
    RUNNING = "running"  # it takes its time, so its record says that it is in progress
    ANSWERED = "answered"  # its target has answered, or never will
    RECORDED = "recorded"  # its outcome is written
    FENCED = "fenced"  # its attempt was ended by others: its answer has no effect
    HELD_BACK = "held_back"  # it was not sent, and its claim goes back to the queue
    DROPPED = "dropped"  # it was not sent, and its execution was ended or taken over


_P = DeliveryPhase
PHASES: dict[DeliveryPhase, frozenset[DeliveryPhase]] = {
    _P.WAITING: frozenset({_P.ADMITTED, _P.HELD_BACK, _P.DROPPED}),
    _P.ADMITTED: frozenset({_P.DISPATCHED, _P.HELD_BACK, _P.DROPPED}),
    _P.DISPATCHED: frozenset({_P.RUNNING, _P.ANSWERED}),
    _P.RUNNING: frozenset({_P.ANSWERED, _P.FENCED}),
    _P.ANSWERED: frozenset({_P.RECORDED, _P.FENCED}),
    _P.RECORDED: frozenset(),
    _P.FENCED: frozenset(),
    _P.HELD_BACK: frozenset(),
    _P.DROPPED: frozenset(),
}


class IllegalMove(Exception):
    """Raised when a delivery is to leave the table: the engine is broken."""


def moved(phase: DeliveryPhase, to: DeliveryPhase) -> DeliveryPhase:
    """The phase after a move. Raises IllegalMove."""
    if to not in PHASES[phase]:
        raise IllegalMove(f"a delivery that is {phase} cannot become {to}")
    return to
