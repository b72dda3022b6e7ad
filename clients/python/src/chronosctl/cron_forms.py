"""Cron as others write it: whether the service takes it, and the forms of EventBridge and Kubernetes in its words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_FIELDS: Final = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"
_DAYS: Final = "SUN MON TUE WED THU FRI SAT"
_NAMES: Final = {
    "month": {name: n for n, name in enumerate(_MONTHS.split(), 1)},
    "day of week": dict(zip(_DAYS.split(), range(7), strict=True)),
}
_SPECIAL: Final = {"day of month": re.compile(r"L|LW|\d{1,2}W"), "day of week": re.compile(r"[0-7]L|[0-7]#[1-5]")}
MACROS: Final = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_ATTEMPTS_MAX: Final = 100
_UNITS: Final = {"minute": "m", "minutes": "m", "hour": "h", "hours": "h", "day": "d", "days": "d"}


def wrong(parts: Sequence[str]) -> str:
    """What is wrong with five fields; empty when nothing is."""
    if len(parts) != 5:
        return f"it has {len(parts)} of the five fields"
    for (name, low, high), text in zip(_FIELDS, parts, strict=True):
        for item in text.split(","):
            if not _fits(name, low, high, item):
                return f"{name}: {item!r} is not understood"
    return ""


def _fits(name: str, low: int, high: int, item: str) -> bool:
    if name in _SPECIAL and _SPECIAL[name].fullmatch(item):
        return True
    span, slash, step = item.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return False
    if span == "*":
        return True
    first, dash, last = span.partition("-")
    ends = [_number(name, each) for each in ([first, last] if dash else [first])]
    return all(n is not None and low <= n <= high for n in ends)


def _number(name: str, text: str) -> int | None:
    named = _NAMES.get(name, {}).get(text.upper())
    return named if named is not None else int(text) if text.isdecimal() else None


def of_k8s(said: str) -> dict[str, Any] | str:
    """The `schedule` of a CronJob as type and expression, or why it is none."""
    if said in MACROS:
        return {"type": "CRON", "expr": said}
    if said.startswith("@every "):
        found = _DURATION.fullmatch(said.removeprefix("@every ").strip())
        hours, minutes, seconds = (int(each or 0) for each in found.groups()) if found else (0, 0, 0)
        every_s = hours * 3600 + minutes * 60 + seconds
        return {"type": "RATE", "expr": f"rate:{every_s}s"} if every_s else f"{said!r} is not understood"
    if said.startswith("@"):
        return f"{said!r} is not understood"
    five = [re.sub(r"^\?", "*", each) for each in said.split()]
    return wrong(five) or {"type": "CRON", "expr": " ".join(five)}


def of_aws(found: Mapping[str, Any], name: str) -> dict[str, Any] | str:
    """A rule or a schedule of EventBridge as an entry, or why it is none."""
    said = found.get("ScheduleExpression")
    if not said:
        return f"{name} has no ScheduleExpression: it follows events"
    form = re.fullmatch(r"(rate|cron|at)\((.*)\)", str(said).strip())
    if form is None:
        return f"{name}: {said!r} is not understood"
    entry = _BY_FORM[form[1]](form[2].split() if form[1] != "at" else [form[2]])
    if isinstance(entry, str):
        return f"{name}: {entry}"
    zone = found.get("ScheduleExpressionTimezone")
    if form[1] == "at" and zone not in (None, "UTC"):
        return f"{name}: at() in the zone {zone}: say it in UTC"
    made: dict[str, Any] = {"name": name, **entry}
    if zone and form[1] == "cron":
        made["timezone"] = zone
    if found.get("State") == "DISABLED":
        made["enabled"] = False
    window = found.get("FlexibleTimeWindow")
    minutes = window.get("MaximumWindowInMinutes") if isinstance(window, Mapping) else None
    if isinstance(minutes, int):
        made["jitter_ms"] = minutes * 60_000
    if form[1] != "at":  # EventBridge does not look at the bounds of what runs once
        for theirs, ours in (("StartDate", "start_at_unix_ms"), ("EndDate", "end_at_unix_ms")):
            if found.get(theirs) is not None:
                bound = _bound(found[theirs])
                if bound is None:
                    return f"{name}: {theirs}: {found[theirs]!r} is not understood"
                made[ours] = bound
    return {**made, **_target(found)}


def lost_of_aws(found: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    """What of its targets an entry cannot hold."""
    targets = _targets(found)
    lost = []
    if targets and "target" not in entry:
        lost.append(f"its target {targets[0].get('Arn')} is of no kind that is known here: --target names another")
    if len(targets) > 1:
        lost.append(f"of its {len(targets)} targets the first is taken")
    return lost


def _bound(said: Any) -> int | None:
    """An instant as AWS writes it, in unix milliseconds: RFC 3339, UTC where it names no offset, or unix seconds."""
    from datetime import datetime, timezone

    if isinstance(said, int | float):
        return round(said * 1000)
    text = str(said)
    try:
        at = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
    except ValueError:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def _rate(parts: Sequence[str]) -> dict[str, Any] | str:
    if len(parts) != 2 or not parts[0].isdecimal() or parts[1] not in _UNITS:
        return f"rate({' '.join(parts)}) is not understood"
    return {"type": "RATE", "expr": f"rate:{parts[0]}{_UNITS[parts[1]]}"}


def _cron(parts: Sequence[str]) -> dict[str, Any] | str:
    if len(parts) != 6:
        return f"cron has {len(parts)} of six fields"
    *five, year = parts
    if year != "*":
        return f"the year {year} is not offered: set end_at_unix_ms"
    five = ["*" if each == "?" else each for each in five]
    five[4] = _weekday(five[4])
    return wrong(five) or {"type": "CRON", "expr": " ".join(five)}


def _weekday(text: str) -> str:
    """AWS counts days from SUN = 1."""
    if text == "L":
        return "6"  # alone it means Saturday there
    parts = re.split(r"([-,])", text)
    return "".join(re.sub(r"^\d", lambda m: str(int(m[0]) - 1), part) for part in parts)


def _at(parts: Sequence[str]) -> dict[str, Any] | str:
    text = parts[0].strip()
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        return f"at({text}) is not understood"
    return {"type": "AT", "expr": f"at:{text}Z"}


_BY_FORM: Final = {"rate": _rate, "cron": _cron, "at": _at}


def _target(found: Mapping[str, Any]) -> dict[str, Any]:
    target = next(iter(_targets(found)), {})
    arn, given = str(target.get("Arn", "")), target.get("Input")
    made: dict[str, Any] = {}
    kind = arn.split(":")[2] if arn.count(":") >= 5 else ""
    if kind == "lambda":
        made["target"] = {"type": "lambda", "function": arn}
    elif kind == "sns":
        made["target"] = {"type": "sns", "topic_arn": arn}
    elif kind == "states":
        made["target"] = {"type": "stepfunctions", "state_machine_arn": arn}
    elif kind == "sqs":
        _, _, _, region, account, queue = arn.split(":", 5)
        made["target"] = {"type": "sqs", "queue_url": f"https://sqs.{region}.amazonaws.com/{account}/{queue}"}
    elif kind == "events" and "event-bus/" in arn:
        made["target"] = {"type": "eventbridge", "bus": arn.partition("event-bus/")[2]}
    policy = target.get("RetryPolicy")
    if isinstance(policy, Mapping):
        made |= _retries(policy)
    if isinstance(given, str):
        made["payload"] = _json_or_text(given)
    return made


def _retries(policy: Mapping[str, Any]) -> dict[str, Any]:
    retries, age_s = policy.get("MaximumRetryAttempts"), policy.get("MaximumEventAgeInSeconds")
    made: dict[str, Any] = {}
    if isinstance(retries, int):
        made["retry_policy"] = {"max_attempts": min(retries + 1, _ATTEMPTS_MAX)}
    if isinstance(age_s, int):
        made["catch_up_window_ms"] = age_s * 1000
    return made


def _targets(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    many = found.get("Targets")
    said = [found["Target"]] if found.get("Target") else many if isinstance(many, list) else []
    return [each for each in said if isinstance(each, Mapping)]


def _json_or_text(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text
