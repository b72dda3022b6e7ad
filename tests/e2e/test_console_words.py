"""What the console computes by itself, in the browser: words, searches, times, the reading of streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.chromium import Page, running
from tests.kit.wires import serving


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with serving() as wires, running(tmp_path_factory.mktemp("chromium")) as browser:
        opened = browser.page(f"http://127.0.0.1:{wires.server.port}/console")
        opened.wait("Boolean(document.querySelector('.top'))")
        yield opened


def _ask(page: Page, module: str, expression: str) -> Any:
    """What an expression over a module of the console comes to."""
    place = f"new URL('./{module}', document.querySelector('script[type=module]').src).href"
    return page.run(f"import({place}).then((m) => ({expression}))")


@pytest.mark.parametrize(
    ("kind", "expr", "words"),
    [
        ("CRON", "0 2 * * *", "Every day at 02:00, Europe/Paris time"),
        ("CRON", "*/5 * * * *", "Every 5 minutes"),
        ("CRON", "*/7 * * * *", ""),  # it begins anew each hour: no "every"
        ("CRON", "30 2 * * MON-FRI", "On working days at 02:30, Europe/Paris time"),
        ("CRON", "0 9 1,15 * *", "On the 1st and 15th of the month at 09:00, Europe/Paris time"),
        ("CRON", "0 9 * * MON#2", "On the 2nd Monday of the month at 09:00, Europe/Paris time"),
        ("CRON", "15 10 L * *", "On the last day of the month at 10:15, Europe/Paris time"),
        ("CRON", "0 0 1 1 *", "On the 1st of the month in January at 00:00, Europe/Paris time"),
        ("CRON", "0 0 13 * FRI", ""),  # either of them counts: said wrongly is worse than not said
        ("CRON", "*/10 * * * * *", "Every 10 seconds"),
        ("CRON", "nonsense", ""),
        ("RATE", "rate:5s", "Every 5 seconds"),
        ("RATE", "rate:1h", "Every hour"),
        ("DELAY", "delay:30s", "30 seconds after each run has ended"),
        ("ISO8601", "PT5M", "Every 5 minutes"),
        ("ISO8601", "P1M", "Every month, Europe/Paris time"),
        ("ISO8601", "R5/2026-12-01T10:00:00Z/PT5M", "Every 5 minutes from 2026-12-01T10:00:00Z, 5 times"),
        ("AT", "at:2026-12-25T10:00:00Z", "Once, at 2026-12-25T10:00:00Z"),
    ],
)
def test_an_expression_in_words(page: Page, kind: str, expr: str, words: str) -> None:
    assert _ask(page, "words.mjs", f"m.inWords({json.dumps(kind)}, {json.dumps(expr)}, 'Europe/Paris')") == words


ROW = {"id": "01K-1", "name": "invoices", "status": "failed", "owner": "ann", "late": True, "lateness_ms": 150,
       "attempt": 2, "error": "Connection refused", "schedule_id": "01K"}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "server", "matches"),
    [
        ("status:failed owner:ann name:inv*", {"status": "failed", "owner": "ann", "name": "inv*"}, True),
        ("status:failed,timeout", {}, True),
        ("status:error", {"status": "failed"}, True),
        ("status:completed", {"status": "completed"}, False),
        ("name:inv", {"name": "inv"}, False),
        ("late:yes lateness:>100 attempt:>=2", {}, True),
        ("lateness:<100", {}, False),
        ("error:refused", {}, True),
        ('error:"connection refused"', {}, True),
        ("schedule:01K", {"id": "01K"}, True),
        ("INVOICE", {}, True),
        ("nothing-like-it", {}, False),
        ("", {}, True),
    ],
)
def test_a_search(page: Page, text: str, server: dict[str, str], matches: bool) -> None:
    of = f"m.parseQuery({json.dumps(text)})"
    asked = f"[{of}.server, {of}.test({json.dumps(ROW)}), {of}.problems]"
    assert _ask(page, "query.mjs", asked) == [server, matches, []]


@pytest.mark.parametrize("text", ["status:fine", "colour:red", "lateness:much", "late:maybe"])
def test_a_search_that_is_none_says_why(page: Page, text: str) -> None:
    [problem] = _ask(page, "query.mjs", f"m.parseQuery({json.dumps(text)}).problems")
    assert text.partition(":")[0] in problem


@pytest.mark.parametrize(
    ("text", "bulk", "exact"),
    [
        ("status:failed owner:ann", {"state": "failed", "owner": "ann"}, True),
        ("status:failed owner:ann error:refused", {"state": "failed", "owner": "ann"}, False),
        ("owner:ann invoices", {"owner": "ann"}, False),
        ("status:failed,timeout schedule:01K", {"schedule_id": "01K"}, False),
        ("ownr:ann status:failed", {"state": "failed"}, False),
        ("late:maybe owner:ann", {"owner": "ann"}, False),
    ],
)
def test_a_bulk_action_keeps_to_all_of_a_search_that_the_service_filters_by(
    page: Page, text: str, bulk: dict[str, str], exact: bool
) -> None:
    of = f"m.parseQuery({json.dumps(text)})"
    assert _ask(page, "query.mjs", f"[{of}.bulk, {of}.exact]") == [bulk, exact]


def test_a_new_schedule_leaves_the_service_its_defaults(page: Page) -> None:
    filled = "{ ...m.BLANK, name: 'n', timezone: 'UTC', target: { type: 'log' } }"
    made = _ask(page, "schedule_form.mjs", f"m.bodyOf({filled}).made")
    assert not {"sla_ms", "timeout_ms", "catch_up_window_ms", "jitter_ms", "retry_policy"} & set(made)
    made = _ask(page, "schedule_form.mjs", f"m.bodyOf({{ ...{filled}, sla_ms: '0', max_attempts: '5' }}).made")
    assert (made["sla_ms"], made["retry_policy"]) == (0, {"max_attempts": 5})


def test_a_number_that_is_taken_out_of_a_schedule_is_missed_and_not_zero(page: Page) -> None:
    edited = "{ ...m.BLANK, name: 'n', timezone: 'UTC', sla_ms: '', timeout_ms: 5 }"
    wrong = _ask(page, "schedule_form.mjs", f"m.bodyOf({edited}, {{ retry_policy: {{}} }}).wrong")
    assert wrong["sla_ms"] == "wants a number"
    assert "timeout_ms" not in wrong


def test_one_term_takes_the_place_of_another(page: Page) -> None:
    changed = _ask(page, "query.mjs", "m.withTerm('owner:ann status:failed', 'status', 'missed')")
    assert changed == "owner:ann status:missed"


def test_a_stream_is_read_alike_however_it_is_cut(page: Page) -> None:
    task = 'id: 1\nevent: task\ndata: {"a":\ndata: 1}\n\n'
    text = f"retry: 1000\n\n{task}: still here\n\nid: 2\r\nevent: reset\r\ndata: x\r\n\r\n"
    whole = f"(() => {{ const seen = []; m.parser((e) => seen.push(e))({json.dumps(text)}); return seen }})()"
    cut = (
        f"(() => {{ const seen = []; const read = m.parser((e) => seen.push(e));"
        f" for (const c of {json.dumps(text)}) read(c); return seen }})()"
    )
    expected = [
        {"name": "task", "data": '{"a":\n1}', "id": "1"},
        {"name": "reset", "data": "x", "id": "2"},
    ]
    assert _ask(page, "feed.mjs", whole) == expected
    assert _ask(page, "feed.mjs", cut) == expected


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0 ms"), (999, "999 ms"), (1500, "1.5 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h"), (93_600_000, "1 d 2 h")],
)
def test_a_duration(page: Page, ms: int, text: str) -> None:
    assert _ask(page, "format.mjs", f"m.duration({ms})") == text


def test_wall_clocks_and_instants_agree_also_when_clocks_change(page: Page) -> None:
    for wall in ("2027-03-27T02:30", "2027-03-28T03:30", "2027-07-01T12:00", "2027-10-31T12:00"):
        assert _ask(page, "format.mjs", f"m.wallOf(m.instantOf('{wall}', 'Europe/Paris'), 'Europe/Paris')") == wall
    assert _ask(page, "format.mjs", "m.instantOf('2027-10-31T02:30', 'Europe/Paris')") == 1_824_942_600_000, "the first"
    exact = "m.instantOf(m.wallOf(1795252812670, 'Europe/Paris'), 'Europe/Paris')"
    assert _ask(page, "format.mjs", exact) == 1_795_252_812_670, "a form loses no second of it"
    assert _ask(page, "format.mjs", "m.instantOf('2027-03-28T03:30', 'Europe/Paris')") == 1_806_197_400_000
    assert _ask(page, "format.mjs", "m.nextShift(1795252800000, 'Europe/Paris')") == 1_806_195_600_000
    assert _ask(page, "format.mjs", "m.nextShift(1795252800000, 'UTC')") is None
