"""What a request must be beside its schema: the refusals that no schema can foresee, each with its reason.

A refusal of a request that the document allows is a fault of the document, unless it is one of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple


class Unsaid(NamedTuple):
    """Refusals with ``code`` whose field, and whose message about it, match."""

    code: str
    why: str
    field: str = ""
    message: str = ""


STATE = "it depends on what was done before"
TWO_FIELDS = "it compares two fields, and a schema judges one at a time"
GRAMMAR = "it has a grammar, or a meaning in the calendar, that no pattern holds"
SERIALISED = "a schema knows no length in bytes"
NUMBER_IN_TEXT = "it is about the size of a number in a text"
HOSTS = "which hosts may be called is a list of networks, and the operator's"

UNSAID = (
    Unsaid("clock_skew", "how far ahead a stamp is depends on the time at which it comes"),
    Unsaid("bad_page_token", "tokens are sealed: only those that the service gave out are good"),
    Unsaid("cursor_expired", "how far back the change feed reaches depends on the time"),
    Unsaid("precondition_failed", STATE),
    Unsaid("idempotency_key_reused", STATE),
    Unsaid("invalid_field", NUMBER_IN_TEXT, "X-Chrono-HLC", "logical must be at most"),
    Unsaid("invalid_field", "JSON Schema takes 1.0 for an integer", ".+", r"expected `int( \| null)?`, got `float`"),
    Unsaid(
        "invalid_field",
        "Unicode's tables say which characters are printable",
        "holder_id|name|owner",
        "printable|control characters",
    ),
    Unsaid(
        "invalid_field",
        HOSTS,
        r"(.+\.|webhook_)(queue_)?url|(.+\.)?(address|servers|brokers)",
        "^(?!must (begin|not hold blanks|be a text such))",
    ),
    Unsaid("invalid_field", "how much a range holds depends on the schedule", "to_unix_ms", "the range holds more"),
    Unsaid(
        "invalid_field", "names are compared without case", r"(.+\.)?(headers|metadata)", "is set by the service|binary"
    ),
    Unsaid("invalid_field", SERIALISED, "metadata", "bytes"),
    Unsaid("payload_too_large", SERIALISED),
    Unsaid("bad_request", "JSON Schema knows no depth and no size of numbers", "", "nested deeper|cannot be kept"),
    Unsaid("invalid_field", "it compares the entries of a list", r"schedules\.\d+\.(name|id)", "of this file"),
    Unsaid("invalid_field", STATE, "type|position", "a DELAY schedule has no grid|the log has the events"),
    Unsaid("invalid_field", TWO_FIELDS, r"(.+\.)?(to_unix_ms|end_at_unix_ms|max_ms)", "must not be (before|less than)"),
    Unsaid("not_understood", GRAMMAR, "text"),
    Unsaid("jsonrpc", "the messages of agents have a standard of their own, in which errors have numbers"),
    Unsaid(
        "invalid_field", GRAMMAR, r"expr|cron_expression|timestamp|last_date|exclude(\.\d+)?|cidrs\.\d+|quiet\.cron"
    ),
    Unsaid(
        "invalid_field",
        "which secrets a header may hold is a list, and the operator's",
        r"(.+\.)?((headers|metadata)\..+|secret_ref)",
        "CHRONO_HEADER_SECRETS",
    ),
    Unsaid("invalid_field", "built-in roles can be read under their names, and not changed", "name", "a built-in role"),
    Unsaid("invalid_field", "a tenant may have roles of its own", r"roles\.\d+", "is unknown"),
    Unsaid(
        "invalid_field",
        TWO_FIELDS,
        r"permissions|definition|version|node|from|result|(.+\.)?security|channels\.\d+\..+",
        "not both|give |of a publ|needs secret_ref|is missing|is unknown|must|there is no node|of a whole run",
    ),
    Unsaid("invalid_field", "a condition is a language of its own", r"(policy\.)?rules\.\d+\.condition.*|\d+\.value"),
    Unsaid(
        "invalid_field",
        "it compares a rule with the others of its policy",
        r"(policy\.)?(rules\.\d+\.name|exceptions\.\d+\.rule)",
        "another rule|no rule of",
    ),
    Unsaid("invalid_field", "it compares the body with the path", r"(policy\.)?name", "the name in the path"),
    Unsaid("invalid_field", "it depends on the time at which it comes", r"(expires_at|until)_unix_ms", "in the future"),
    Unsaid("invalid_field", "it depends on the time at which it comes", "to_unix_ms", "within 24 hours"),
    Unsaid(
        "invalid_field",
        "a definition, and the log of a run, are languages of their own",
        r"(document\.)?(nodes|edges|concurrency|on_failure|input_schema|events|layout)\b.*|definition\..*",
    ),
    Unsaid("invalid_field", "a definition is a language of its own", "(timeout|sla)_ms", "31622400000"),
    Unsaid("invalid_field", "it stands inside a document", r"(document\..+)?(name)?", "lower-case letters|not a field"),
    Unsaid(
        "invalid_field", GRAMMAR, r"(.+\.)?(url|servers|brokers?|address(es)?)(\.\d+)?", "must begin with [^h]|blanks"
    ),
    Unsaid(
        "invalid_field", GRAMMAR, r"(.+\.)?((headers|metadata)\..+|secret_ref)", "a path of Vault|only for a service"
    ),
    Unsaid("invalid_field", "the zones are those of the release of IANA's data", r"(.+\.)?timezone"),
)


def excuse(problem: Mapping[str, Any]) -> list[Unsaid] | None:
    """What excuses a refusal: one for each wrong field that it names; None when anything in it has no excuse."""
    errors = problem.get("errors") or [{"field": "", "message": problem.get("detail", "")}]
    code = "jsonrpc" if "jsonrpc" in problem else problem.get("code")
    found = [next((u for u in UNSAID if _covers(u, code, error)), None) for error in errors]
    return None if None in found else [each for each in found if each is not None]


def _covers(unsaid: Unsaid, code: object, error: Mapping[str, str]) -> bool:
    named = re.fullmatch(unsaid.field or ".*", error["field"], re.DOTALL)  # a key that is wrong may hold a line's end
    fits = named and re.search(unsaid.message, error["message"])
    return unsaid.code == code and fits is not None
