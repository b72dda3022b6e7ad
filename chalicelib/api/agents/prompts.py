"""Prompts that a person chooses: what an agent is to do, step by step, with the tools that there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

_ASK: Final = "Nothing is to be changed without my word."


class Argument(NamedTuple):
    """What a person fills in."""

    name: str
    description: str
    required: bool = True


class Prompt(NamedTuple):
    """A task. Its steps name an argument in braces; what a person says stands there as a JSON text."""

    name: str
    description: str
    arguments: Sequence[Argument]
    steps: str

    def shown(self) -> dict[str, Any]:
        """As ``prompts/list`` has it."""
        said = [{"name": a.name, "description": a.description, "required": a.required} for a in self.arguments]
        return {"name": self.name, "description": self.description, "arguments": said}

    def filled(self, given: Mapping[str, str]) -> str:
        """The task, with what was said; what was left out is said to be so."""
        said = {a.name: json.dumps(given.get(a.name) or "not said", ensure_ascii=False) for a in self.arguments}
        return f"{self.steps.format(**said)} {_ASK}"


PROMPTS: Final = (
    Prompt(
        "schedule_from_words",
        "Make a schedule of words such as 'every weekday at 9:00'.",
        (Argument("words", "When it shall run."), Argument("timezone", "An IANA name.", required=False)),
        "Make a schedule of these words: {words}. Time zone: {timezone}. Give the words to parse_words. Where it "
        "offers choices, ask me. Show me the next runs with preview_runs. Then call create_schedule as a dry run, and "
        "ask me.",
    ),
    Prompt(
        "why_it_did_not_run",
        "Find out why a schedule did not run.",
        (Argument("schedule", "Its name or id."), Argument("instant", "When it should have run.", required=False)),
        "Find out why the schedule {schedule} did not run. The instant: {instant}. Find it with find_schedules. "
        "Without an instant take the newest of find_executions that failed or was missed. Call explain_instant, and "
        "get_execution where there is one. Say the cause in a sentence, and what would mend it.",
    ),
    Prompt(
        "what_failed",
        "Go through the newest failures, and group them by cause.",
        (),
        "Call find_executions for the states failed, timeout and missed. Read some with get_execution. Group them "
        "by cause, the most frequent first, and say for each what would mend it, and which could be retried.",
    ),
)
BY_NAME: Final = {prompt.name: prompt for prompt in PROMPTS}
