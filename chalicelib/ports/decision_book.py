"""Where decisions of policies are entered while a call runs, for its answer and for the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the functions that fire hold one and enter nothing
    from chalicelib.core.rules.judged import Judged


class DecisionBook(Protocol):
    """What a call's wishes were judged as, in their order."""

    def enter(self, judged: Judged) -> None:
        """Enter one decision that has findings, or an id."""
        ...


class NoDecisionBook:
    """No call is there to answer."""

    def enter(self, _judged: Judged) -> None:
        """Enter nothing."""
