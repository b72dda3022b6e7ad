"""Bounds of policies."""

from __future__ import annotations

from typing import Final

POLICIES_MAX_COUNT: Final = 1_000  # of a tenant
RULES_MAX_COUNT: Final = 50  # of a policy
EXCEPTIONS_MAX_COUNT: Final = 100  # of a policy
POLICY_MAX_BYTES: Final = 64 * 1024  # as stored
POLICY_NAME_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
RULE_NAME_MAX_CHARS: Final = 64
RULE_NAME_PATTERN: Final = r"^[^\x00-\x1f\x7f]+$"
MESSAGE_MAX_CHARS: Final = 512
DESCRIPTION_MAX_CHARS: Final = 1024
FIELD_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$"
FIELD_MAX_CHARS: Final = 128
VALUE_TEXT_MAX_CHARS: Final = 2_048
VALUES_MAX_COUNT: Final = 1_000  # of a list that a condition names
CONDITION_MAX_DEPTH: Final = 8
CONDITION_MAX_NODES: Final = 100  # of a rule
PATTERN_MAX_CHARS: Final = 512
PATTERN_MAX_STEPS: Final = 4_000  # of the automaton that a pattern becomes, counted repetitions written out
PATTERN_MAX_DEPTH: Final = 40
PATTERN_STATES_KEPT: Final = 512  # states that one pattern remembers; beyond that it begins to forget

REGO_MAX_CHARS: Final = 16 * 1024  # of a module
REGO_BUDGET_MS: Final = 1_000  # for all modules of one wish; beyond that there is no answer, which denies
NOTED_FINDINGS_MAX: Final = 50  # of one decision, in the audit
DRY_RUN_MAX_SCHEDULES: Final = 1_000  # of one call; the next one goes on from there
DRY_RUN_MAX_FIRINGS: Final = 2_000
DRY_RUN_MAX_DENIALS: Final = 1_000  # that one answer lists
DRY_RUN_BUDGET_MS: Final = 5_000
DRY_RUN_JOURNAL_MS: Final = 7 * 86_400_000
GAPS_MAX_RUNS: Final = 200  # instants that a recurrence is judged by
assert DRY_RUN_MAX_DENIALS >= DRY_RUN_MAX_SCHEDULES, "what a call judges, its answer can hold"
