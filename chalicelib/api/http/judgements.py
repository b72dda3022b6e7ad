"""What policies said while a call ran: for the warnings in its answer, and for the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.api.http.responses import violation_view

if TYPE_CHECKING:  # loaded with the first policy
    from chalicelib.core.rules.judged import Judged


class Judgements:
    """The ``DecisionBook`` of one call. What is judged again, as after a lost race, counts once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Judged] = {}

    def enter(self, judged: Judged) -> None:
        """Keep a decision."""
        self._found[judged.action, judged.resource] = judged

    @property
    def all(self) -> list[Judged]:
        """The decisions, in their order."""
        return list(self._found.values())

    def show_on(self, body: Any) -> None:
        """Set ``warnings`` of an answer, or of each item of one on many."""
        if not self._found:
            return
        items = getattr(body, "items", None)
        if not isinstance(items, list):
            _warn(body, self.all)
            return
        for item in items:
            mine = [judged for judged in self.all if judged.resource == f"schedules/{getattr(item, 'id', None)}"]
            _warn(getattr(item, "schedule", None) or item, mine)


def _warn(shown: Any, judged: list[Judged]) -> None:
    warnings = [violation_view(finding.violation) for one in judged for finding in one.warnings]
    if warnings and "warnings" in getattr(shown, "__struct_fields__", ()):
        shown.warnings = warnings
