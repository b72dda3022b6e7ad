"""A service of a vendor is known to its adapter, and to what assembles and deploys it: no other code names it.

So another database or queue touches adapters, settings and bootstrap only. Names, texts and comments are held to it.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.tidy.sources import ROOT, Source, product

ROOMS = ("core", "process", "ports", "engine", "usecases", "workers")
VENDORS = re.compile(
    r"dynamo|sqs|\bsns\b|eventbridge|lambda|\baws\b|amazon|partiql|boto|api gateway|postgres|kafka|redis", re.IGNORECASE
)
# What only one database has or does: in another it is a table, a column or nothing.
STORAGE = re.compile(r"transaction|partiql|\bindex(es)?\b|batch call|\bgsi\b|\bttl attribute", re.IGNORECASE)

# Kinds of targets are named after the services that they reach.
TARGET_KINDS = "chalicelib/core/targets/"

# Where a vendor's word is meant besides, each with its reason.
EXCEPT = {
    ("core/schedules/schedule.py", "vendor"): "the target of a schedule that names none",
    ("workers/publish.py", "vendor"): "the target that ticks go to",
    ("engine/events.py", "vendor"): "the target that events go to",
    ("core/clock/", "vendor"): "ClockBound is the format of one time daemon",
    ("core/configuration/", "vendor"): "the keys of the configuration file, and what its errors advise",
    ("core/telemetry/span_names.py", "vendor"): "OpenTelemetry's word for the queue",
    ("process/admission.py", "storage"): "a journal of that name is cited",
    ("core/schedules/validation.py", "storage"): "the place in a list of exclusions",
    ("core/recurrence/", "storage"): "places in lists",
    ("core/words/", "storage"): "places in lists",
    ("core/workflows/", "storage"): "the place of an item in its foreach, as expressions call it",
    ("engine/workflows/", "storage"): "the same",
    ("core/notices/rule.py", "vendor"): "channels are named after the services that they reach",
    ("engine/notice_sending.py", "vendor"): "the same",
    ("core/triggers/sources.py", "vendor"): "sources are named after what brings the events, as targets are",
    ("core/triggers/listen_settings.py", "vendor"): "the form of the queues that it lists",
    ("core/channels.py", "vendor"): "channels are named after the services that they reach",
    ("core/workflows/node_rules.py", "vendor"): "channels are named after the services that they reach",
    ("core/workflows/channels.py", "vendor"): "the same",
    ("engine/workflows/nodes.py", "vendor"): "the same",
    ("core/workflows/asl_export.py", "vendor"): "the language that it writes is one vendor's",
    ("core/workflows/asl_import.py", "vendor"): "the language that it reads is one vendor's",
}


def words(source: Source) -> Iterator[tuple[str, int]]:
    """Names, texts and comments of a module with their lines; the keyword ``lambda`` is none."""
    text = (ROOT / source.path).read_text()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        keyword = token.type == tokenize.NAME and token.string == "lambda"
        if token.type in (tokenize.NAME, tokenize.STRING, tokenize.COMMENT) and not keyword:
            for number, line in enumerate(token.string.splitlines()):
                yield line, token.start[0] + number


def named(source: Source, pattern: re.Pattern[str]) -> list[str]:
    return [f"{source.path}:{line} says {found[0]}" for text, line in words(source) for found in pattern.finditer(text)]


def excepted(source: Source, kind: str) -> bool:
    if kind == "vendor" and source.path.startswith(TARGET_KINDS):
        return True
    return any(source.path.startswith(f"chalicelib/{path}") for path, of in EXCEPT if of == kind)


@pytest.mark.parametrize("source", [s for s in product() if s.room in ROOMS], ids=lambda source: source.path)
def test_no_vendor_is_named_outside_its_adapter(source: Source) -> None:
    wrong = [] if excepted(source, "vendor") else named(source, VENDORS)
    wrong += [] if excepted(source, "storage") else named(source, STORAGE)
    assert not wrong


@pytest.mark.parametrize(("path", "kind"), EXCEPT, ids=lambda part: part)
def test_every_exception_is_needed(path: str, kind: str) -> None:
    pattern = VENDORS if kind == "vendor" else STORAGE
    assert any(named(source, pattern) for source in product() if source.path.startswith(f"chalicelib/{path}"))
