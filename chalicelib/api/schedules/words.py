"""Words to a schedule, over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Opt, Query, given
from chalicelib.api.http.responses import ShownInstant
from chalicelib.api.schedules.operations import COLLECTION
from chalicelib.api.schedules.schemas import Timezone
from chalicelib.core.recurrence.expressions import RecurrenceType
from chalicelib.core.words.languages import WordsLanguage, wanted_languages
from chalicelib.core.words.limits import TEXT_MAX_CHARS


class ParseBody(Body, kw_only=True):
    """A schedule in words. Nothing is written."""

    text: Annotated[str, Meta(min_length=1, max_length=TEXT_MAX_CHARS, examples=["every weekday at 9:00"])]
    timezone: Annotated[Opt[Timezone], Meta(description="Holds where the text names no zone.")] = UNSET
    language: Annotated[Opt[WordsLanguage], Meta(description="Without it all four are tried.")] = UNSET


class ParsedSchedule(msgspec.Struct, kw_only=True):
    """What a text means: the fields of a schedule, the same in words, and its next runs."""

    type: RecurrenceType
    expr: str
    timezone: str
    description: str
    runs_unix_ms: list[ShownInstant]


class DoubtView(msgspec.Struct):
    """What a text leaves open, and the code points of the words that do (half open)."""

    message: str
    at: list[int]


class ParsedText(msgspec.Struct, kw_only=True):
    """One schedule; or `choices`, where the text may mean several, and `doubts` which say why."""

    type: RecurrenceType | UnsetType = UNSET
    expr: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    runs_unix_ms: list[ShownInstant] | UnsetType = UNSET
    choices: list[ParsedSchedule] | UnsetType = UNSET
    doubts: list[DoubtView] | UnsetType = UNSET


def parse_text(call: Call[ParseBody, Query]) -> Reply:
    """The schedule that a text means."""
    from chalicelib.usecases import words  # the lexicons are loaded with the first text

    body, language = call.body, call.body.language
    languages = wanted_languages(call.headers.get("accept-language")) if language is UNSET else [language]
    found = words.read_text(call.services, call.caller, body.text, given(body.timezone), languages)
    views = [
        ParsedSchedule(
            type=each.meaning.type,
            expr=each.meaning.expr,
            timezone=each.meaning.timezone,
            description=each.description,
            runs_unix_ms=list(each.runs),
        )
        for each in found.schedules
    ]
    if len(views) > 1:
        doubts = [DoubtView(doubt.message, [doubt.start, doubt.end]) for doubt in found.doubts]
        return Reply(200, ParsedText(choices=views, doubts=doubts), {"Vary": "Accept-Language"})
    return Reply(200, views[0], {"Vary": "Accept-Language"})


def operations() -> list[Operation]:
    """The calls of this part."""
    return [
        Operation(
            method="POST",
            path=COLLECTION + ":parse",
            summary="Read a schedule that is written in words; nothing is written",
            tag="schedules",
            permission="schedules:read",
            handler=parse_text,
            body=ParseBody,
            answers={200: ParsedText},
            description="English, Russian, Spanish and Portuguese. Every word is accounted for: else 422 "
            "`not_understood`, and `errors[].at` has the code points of the words at fault. A text that may mean "
            "several schedules gives `choices`.",
            example={"text": "every weekday at 9:00", "timezone": "Europe/Berlin"},
        )
    ]
