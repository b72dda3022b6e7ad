"""Open Policy Agent over HTTP: one question a call, answered in time or taken for a no.

The rule that the deployment names answers ``true`` or ``false``, or an object with ``allow`` and ``reasons``. A rule
that is undefined for a question gives no answer, and so denies. Redirects are not followed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from chalicelib.adapters.http.client import HttpClient, NoAnswer
from chalicelib.core.rules.opa_settings import OpaSettings
from chalicelib.ports.external_policies import ExternalVerdict

log = logging.getLogger("chronowatch.policies")

EXTERNAL_TIMEOUT_S: Final = 0.2
REASONS_MAX_COUNT: Final = 20
REASON_MAX_CHARS: Final = 512
ID_MAX_CHARS: Final = 128
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}


class OpaPolicies:
    """``ExternalPolicies`` over OPA's data API."""

    is_on = True

    def __init__(
        self, settings: OpaSettings, monotonic_s: Callable[[], float], timeout_s: float = EXTERNAL_TIMEOUT_S
    ) -> None:
        self._timeout_s = timeout_s
        self._http = HttpClient(settings.url, monotonic_s=monotonic_s, timeout_s=timeout_s)
        self._path = f"/v1/data/{settings.policy_path}"

    def decide(self, question: Mapping[str, Any]) -> ExternalVerdict:
        """Judge a question. Whatever goes wrong denies."""
        body = msgspec.json.encode({"input": question})
        try:
            answer = self._http.call("POST", self._path, _HEADERS, body)
        except NoAnswer as problem:
            return _no_decision(f"the policy engine gave no answer in {self._timeout_s * 1000:.0f} ms", problem)
        if answer.status != 200:
            return _no_decision(f"the policy engine answered HTTP {answer.status}", None)
        try:
            document = json.loads(bytes(answer.body))
        except (ValueError, RecursionError) as problem:
            return _no_decision("the policy engine gave an answer that is not JSON", problem)
        return _verdict(document)


def _verdict(document: Any) -> ExternalVerdict:
    if not isinstance(document, dict):
        return _no_decision("the policy engine gave an answer that is no decision", None)
    given_id = document.get("decision_id")
    decision_id = given_id[:ID_MAX_CHARS] if isinstance(given_id, str) else ""
    result = document.get("result")
    if isinstance(result, bool):
        return ExternalVerdict(result, (), decision_id)
    if not isinstance(result, dict) or not isinstance(result.get("allow"), bool):
        reason = "the policy engine's rule is undefined for this" if result is None else "the rule gave no decision"
        return ExternalVerdict(False, (reason,), decision_id)
    reasons = result.get("reasons")
    texts = [text[:REASON_MAX_CHARS] for text in reasons if isinstance(text, str)] if isinstance(reasons, list) else []
    return ExternalVerdict(result["allow"], tuple(texts[:REASONS_MAX_COUNT]), decision_id)


def _no_decision(reason: str, problem: Exception | None) -> ExternalVerdict:
    log.warning("%s, which denies: %s", reason, problem)
    return ExternalVerdict(False, (f"{reason}; without a decision nothing is permitted",))
