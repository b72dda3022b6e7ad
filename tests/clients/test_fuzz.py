"""The document is true: schemathesis finds no answer outside it, and no refusal that it could have foreseen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chalicelib.api.http.routes import table
from tests.clients import generators
from tests.clients.fuzz.run import fuzz
from tests.clients.fuzz.unsaid import UNSAID, excuse
from tests.clients.served import KEY, KEYS_ASKED, serve

USUAL = {"precondition_failed", "bad_page_token"}  # excuses that every run needs


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("key", [None, KEY], ids=["off", "apikey"])
def test_schemathesis_finds_nothing(tmp_path: Path, key: str | None) -> None:
    generators.python()
    tried = [o for o in table().operations if not o.path.endswith("openapi.json")]  # it was read in order to begin
    with serve(KEYS_ASKED if key else None) as served:
        # The same cases each time: a gate that draws new ones fails changes that are not at fault. And all of them,
        # however long they take: a busy machine tries no fewer.
        outcome = fuzz(served.url, None, None, tmp_path, key)
        answered = len(served.calls)
        without_key = served.house.call("GET", "/api/v1/schedules").status
    assert outcome.clean, outcome.printed[:6_000] + outcome.printed[-14_000:]
    assert f"Tested: {len(tried)}\n" in outcome.printed
    [generated] = re.findall(r"(\d+) generated", outcome.printed)
    assert answered > int(generated) > 10_000
    assert without_key == (401 if key else 200), "what was fuzzed asks for a key"
    assert outcome.excused.keys() >= USUAL


def test_excuses_are_few_and_each_has_its_reason() -> None:
    assert len(UNSAID) <= 36
    assert all(len(each.why) > 20 for each in UNSAID)
    assert len({(each.code, each.field, each.message) for each in UNSAID}) == len(UNSAID)
    assert all(each.field for each in UNSAID if each.code == "invalid_field")


def test_a_refusal_is_excused_only_when_all_of_it_is() -> None:
    def problem(*errors: tuple[str, str]) -> dict[str, object]:
        return {"code": "invalid_field", "errors": [{"field": field, "message": text} for field, text in errors]}

    assert excuse(problem(("timezone", "'x' is not an IANA time zone"))) is not None
    assert excuse(problem(("timezone", "'x' is not an IANA time zone"), ("sla_ms", "must be from 0 to 1"))) is None
    assert excuse(problem(("target.url", "must begin with http:// or https://"))) is None
    assert excuse(problem(("target.url", "the host name is not valid"))) is not None
    assert excuse({"code": "bad_request"}) is None
    assert excuse({"code": "bad_page_token"}) is not None
