"""The console in a real browser against the real service: what a person does with it, from the first schedule on."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra import console_libraries
from infra.console_libraries import VendorConsoleFailed
from tests.e2e.console_pages import axe, check_clean, first_row, forget_refusals, open_console, shoot
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver
from tests.kit.chromium import Chromium, Page, running

APPEARS_MAX_S = 1.0
APPEARING = 5
WAITS_MAX_MS = 5_000  # of a call while streams hold all connections: for minutes
# Notes of each row of a later instant how long after it the page had it. The page's own watch says so: when a test
# comes to look says nothing of the page.
_APPEARANCES = """(() => {
  const found = () => [...document.querySelectorAll('.row')].map((row) => chronoRows.byId.get(row.dataset.id));
  const rows = () => found().filter(Boolean);
  let newest = Math.max(...rows().map((row) => row.firing_time_unix_ms));
  globalThis.__appearances = [];
  new MutationObserver(() => {
    const nowMs = Date.now();
    const fresh = rows().map((row) => row.firing_time_unix_ms).filter((ms) => ms > newest);
    for (const ms of fresh) __appearances.push(nowMs - ms);
    newest = Math.max(newest, ...fresh);
  }).observe(document.body, { subtree: true, childList: true, attributeFilter: ['data-id'] });
})()"""
pytestmark = [pytest.mark.long]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with running(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture
def console(browser: Chromium, server: DevServer) -> Iterator[Callable[..., Page]]:
    """Opens the console; what it opened is judged and closed at the end."""
    opened: list[Page] = []

    def make(place: str = "", **size: int) -> Page:
        opened.append(open_console(browser, server, place, **size))
        return opened[-1]

    yield make
    try:
        for page in opened:
            check_clean(page)
    finally:
        for page in opened:
            page.close()


def test_a_schedule_is_made_and_its_task_appears_by_itself(
    console: Callable[..., Page], server: DevServer, receiver: Receiver
) -> None:
    page = console("#/schedules/new")
    page.fill("#f-name", "made-by-hand")
    page.button("Rate")
    page.fill("#f-expr", "rate:2s")
    page.wait_text("Every 2 seconds")
    page.fill("#f-target-url", receiver.url)
    page.fill("#f-payload", '{"made": "by hand"}')
    page.wait("document.querySelectorAll('.nextruns li').length > 5")
    page.button("Make the schedule")
    page.wait_text("Next run")
    page.run("location.hash = '#/tasks?q=name:made-by-hand'")
    page.point(640, 8)  # away from the list: nothing moves below a mouse that moves
    page.wait("document.querySelector('.livedot')?.classList.contains('streaming')")
    first_row(page, "made-by-hand")
    # From now on the page is not touched, and further instants must be seen soon after their time. One may be late on a
    # busy machine.
    page.run(_APPEARANCES)
    seen_after = page.wait(f"__appearances.length >= {APPEARING} && __appearances", 60)
    assert statistics.median(seen_after) <= APPEARS_MAX_S * 1000, seen_after
    # The median of a page that asks every two seconds may by chance be as short.
    assert page.run("document.querySelector('.livedot').classList.contains('streaming')"), "the rows came by the stream"
    page.press("c")
    page.wait_text("New schedule")
    for schedule in server.call("GET", "/api/v1/schedules?name_prefix=made-by-hand")[1]["items"]:
        server.call("DELETE", f"/api/v1/schedules/{schedule['id']}")


def _failing(server: DevServer, name: str, **more: Any) -> str:
    """A schedule whose target refuses the connection; its id."""
    target = {"type": "webhook", "url": "http://127.0.0.1:9/"}
    wanted = {"type": "RATE", "expr": "rate:1h", "target": target, "retry_policy": {"max_attempts": 1}, "name": name}
    return str(server.create(**{**wanted, **more})["id"])


def _fired(server: DevServer, schedule_id: str, state: str, payload: object = None) -> str:
    """An execution of a schedule, in a state; its id."""
    body = {} if payload is None else {"payload": payload}
    execution_id = str(server.call("POST", f"/api/v1/schedules/{schedule_id}:trigger", body)[1]["execution_id"])
    wait_for(
        f"{execution_id} to be {state}",
        lambda: server.call("GET", f"/api/v1/executions/{execution_id}")[1].get("delivery_state") == state,
    )
    return execution_id


def test_a_task_is_retried_with_another_payload_and_shows_why_and_what_became_of_it(
    console: Callable[..., Page], server: DevServer, receiver: Receiver
) -> None:
    schedule_id = _failing(server, "to-retry", payload={"n": 1})
    task_id = _fired(server, schedule_id, "failed")
    server.call("PATCH", f"/api/v1/schedules/{schedule_id}", {"target": {"type": "webhook", "url": receiver.url}})
    page = console(f"#/tasks/{task_id}")
    page.wait_text("Fingerprint")
    page.wait_text("1 task with it in the last 24 hours.", 30.0)
    page.press("w")
    page.wait_text("All attempts failed")
    shoot(page, "task")
    page.press("e")
    page.wait("Boolean(document.querySelector('dialog[open] #payload'))")
    page.fill("#payload", '{"n": ')
    page.wait_text("Not JSON")
    page.fill("#payload", '{"n": 2}')
    page.button("Retry")
    page.wait("document.querySelector('.attempt b')?.innerText === '#2'")
    found = wait_for(
        "the second attempt to end",
        lambda: (t := server.call("GET", f"/api/tasks/{task_id}")[1])["status"] in ("completed", "failed") and t,
    )
    assert found["payload"] == {"n": 2}


def test_a_pending_task_is_cancelled_by_a_key(
    console: Callable[..., Page], server: DevServer, receiver: Receiver
) -> None:
    receiver.close()  # connections are refused, and the next attempt is far away
    policy = {"max_attempts": 5, "backoff": "fixed", "base_ms": 600_000, "max_ms": 600_000, "jitter": False}
    schedule_id = _failing(server, "to-cancel", retry_policy=policy)
    task_id = _fired(server, schedule_id, "in_progress")
    page = console(f"#/tasks/{task_id}")
    page.wait("document.querySelector('.verdict')?.innerText.includes('in progress')")
    page.press("x")
    page.wait("document.querySelector('.verdict')?.innerText.includes('cancelled')")
    assert server.call("GET", f"/api/v1/executions/{task_id}")[1]["delivery_state"] == "cancelled"


def test_a_bulk_action_reaches_all_that_match_and_not_only_what_is_shown(
    console: Callable[..., Page], server: DevServer
) -> None:
    schedule_id = _failing(server, "in-bulk")
    ids = [_fired(server, schedule_id, "failed", {"n": n}) for n in range(5)]
    page = console(f"#/tasks?q=status:failed schedule:{schedule_id}")
    page.wait("document.querySelectorAll('.row').length === 5")
    page.press("b")
    page.wait_text("5 tasks match now")
    page.button("Retry 5 tasks")
    page.wait_text("of 5: completed")

    def attempts() -> list[int]:
        return [server.call("GET", f"/api/v1/executions/{each}")[1]["attempt"] for each in ids]

    # The job reopens them; the worker's claims, which come after, count the attempts.
    wait_for("a second attempt of each", lambda: attempts() == [2] * len(ids))


def test_the_queue_is_paused_and_resumed_and_everybody_sees_it(
    console: Callable[..., Page], server: DevServer, receiver: Receiver
) -> None:
    made = server.create(type="RATE", expr="rate:2s", name="while-paused", target=receiver.target())
    page, other = console(), console("#/schedules")
    page.button("Pause the queue")
    page.fill("#queue-note", "the receiver is being moved")
    page.button("Pause the queue")
    page.wait_text("The queue is paused")
    other.wait_text("the receiver is being moved")
    page.run("location.hash = '#/tasks?q=name:while-paused'")
    page.wait(
        "chronoRows.list.length > 0 && chronoRows.list.every((row) => row.name === 'while-paused')"
        " && document.querySelector('.row')?.innerText.includes('pending')"
    )
    shoot(page, "paused")
    came = len(receiver.of(made))
    time.sleep(2.5)
    assert len(receiver.of(made)) == came, "nothing goes out"
    page.button("Resume the queue")
    page.wait("!document.querySelector('.banner')")
    wait_for("what follows to go out", lambda: len(receiver.of(made)) > came)
    page.wait("document.querySelector('.row')?.innerText.includes('completed')", 20)
    server.call("DELETE", f"/api/v1/schedules/{made['id']}")


def test_the_preview_marks_the_night_on_which_the_clocks_change(console: Callable[..., Page]) -> None:
    page = console("#/schedules/new", height=1100)
    page.fill("#f-name", "paris-report")
    page.fill("#f-timezone", "Europe/Paris")
    page.fill("#f-expr", "30 2 * * *")
    page.fill("#preview-from", "2027-03-26T12:00")
    page.wait("document.querySelector('.cal-day.dst')?.dataset.day === '2027-03-28'")
    page.wait_text("moved: its hour is skipped")
    assert "clocks go forward 1 h" in page.run("document.querySelector('.cal-day.dst .sr').textContent")
    shoot(page, "new")
    page.fill("#preview-from", "2027-10-29T12:00")
    page.wait("document.querySelector('.cal-day.dst')?.dataset.day === '2027-10-31'")
    assert "clocks go back 1 h" in page.run("document.querySelector('.cal-day.dst .sr').textContent")
    page.fill("#f-expr", "61 2 * * *")
    page.wait("document.querySelector('.preview .wrong-why')?.innerText.includes('expr')")
    forget_refusals(page, 422)


def test_an_instant_of_the_night_on_which_the_clocks_change_is_explained(
    console: Callable[..., Page], server: DevServer
) -> None:
    made = server.create(type="CRON", expr="30 2 * * *", timezone="Europe/Paris", name="in-the-night")
    page = console(f"#/schedules/{made['id']}/why")
    page.fill("#why-at", "2027-03-28T03:00")
    page.wait_text("The clocks went forward over it")
    page.fill("#why-at", "2027-10-31T02:30")
    page.wait_text("The clocks went back over it")
    page.fill("#why-at", "2027-10-31T02:31")
    page.wait_text("The recurrence has no run at this instant")
    page.run("location.hash = '#/upcoming'")  # else it asks for what is gone
    page.wait("document.querySelector('h1')?.innerText === 'Upcoming'")
    server.call("DELETE", f"/api/v1/schedules/{made['id']}")


def test_an_edit_leaves_alone_what_is_not_edited_and_what_is_wrong_is_shown(
    console: Callable[..., Page], server: DevServer
) -> None:
    start_ms = 1_900_000_012_670
    made = server.create(type="RATE", expr="rate:5s", name="edited", start_at_unix_ms=start_ms, target={"type": "log"})
    page = console(f"#/schedules/{made['id']}/edit")
    page.wait("document.querySelector('#f-name')?.value === 'edited'")
    parts = "document.querySelectorAll('details.more').forEach((part) => {{ part.open = {} }})"
    page.run(parts.format("true"))
    page.fill("#f-exclude", "{")
    page.run(parts.format("false"))
    page.button("Save")
    page.wait("document.activeElement.id === 'f-exclude' && document.activeElement.closest('details').open")
    page.fill("#f-exclude", "")
    page.fill("#f-name", "edited-once")
    page.button("Save")
    page.wait("document.querySelector('h1')?.innerText === 'edited-once'")
    assert server.call("GET", f"/api/v1/schedules/{made['id']}")[1]["start_at_unix_ms"] == start_ms
    page.run("location.hash = '#/upcoming'")
    page.wait("Boolean(document.querySelector('h1')?.innerText === 'Upcoming')")
    server.call("DELETE", f"/api/v1/schedules/{made['id']}")


def test_a_schedule_shows_what_was_owed_and_is_paused_and_filled_back(
    console: Callable[..., Page], server: DevServer, receiver: Receiver
) -> None:
    made = server.create(
        type="RATE", expr="rate:1s", name="with-ledger", target={"type": "webhook", "url": receiver.url}, tags=["led"]
    )
    wait_for("three runs", lambda: len(server.executions(made["id"])) >= 3)
    page = console(f"#/schedules/{made['id']}/ledger")
    page.wait_text("answered for")
    page.wait("document.querySelectorAll('tbody tr').length >= 3")
    assert page.run("document.querySelector('.figures .good .figure').innerText") == "0", "lost"
    page.press("p")
    page.fill("#pause-note", "the receiver moves")
    page.button("Pause")
    page.wait_text("Paused: the receiver moves")
    page.button("Backfill")
    page.button("Look first")
    page.wait_text("more than 1,000 instants")
    recently = datetime.fromtimestamp(time.time() - 600, UTC)
    page.fill("#bf-from", recently.strftime("%Y-%m-%dT%H:%M"))
    page.button("Look first")
    page.wait_text("would fire")
    page.press("Escape")
    page.press("p")
    page.wait("document.querySelector('.page-head').innerText.includes('active')")
    page.run("location.hash = '#/schedules'")
    page.wait(f"Boolean(document.querySelector(`.sched[data-id='{made['id']}'] .spark rect.b-completed`))")
    page.run("location.hash = '#/upcoming'")
    page.wait("document.querySelectorAll('.lanes li').length > 0")
    server.call("PATCH", f"/api/v1/schedules/{made['id']}", {"sla_ms": 250})
    page.run(f"location.hash = '#/schedules/{made['id']}/versions'")
    page.wait("document.querySelector('.diff b')?.innerText === 'sla_ms'")
    page.click("document.querySelectorAll('.version-list button')[1]")
    page.button("Revert to this version")
    wait_for(
        "the version before to be in force again",
        lambda: server.call("GET", f"/api/v1/schedules/{made['id']}")[1]["sla_ms"] == made["sla_ms"],
    )
    page.run(f"location.hash = '#/schedules/{made['id']}/why'")
    page.wait_text("Version in force")
    page.run("location.hash = '#/upcoming'")  # else it asks for what is gone
    page.wait("document.querySelectorAll('.lanes').length > 0")
    server.call("DELETE", f"/api/v1/schedules/{made['id']}")


def test_a_pause_is_given_an_end_and_ends_without_a_hand(
    console: Callable[..., Page], server: DevServer, receiver: Receiver
) -> None:
    made = server.create(type="RATE", expr="rate:1s", name="rests", target=receiver.target(), tags=["rest"])
    page = console(f"#/schedules/{made['id']}")
    page.wait_text("Pause…")
    page.press("p")
    page.fill("#pause-note", "the receiver moves")
    page.fill("#pause-until", "2020-01-01T10:00")
    page.button("Pause")
    page.wait("document.querySelector('dialog .wrong-why')?.innerText === 'must be in the future'")
    page.button("4 hours")
    page.button("Pause")
    page.wait_text("the receiver moves")
    page.wait("document.querySelector('.note').innerText.startsWith('Paused until ')")
    until_ms = server.call("GET", f"/api/v1/schedules/{made['id']}")[1]["paused_until_unix_ms"]
    assert 0 < until_ms - time.time() * 1000 - 4 * 3_600_000 + 60_000 < 120_000
    page.run("location.hash = '#/schedules?show=paused'")
    page.wait(f"document.querySelector(`.sched[data-id='{made['id']}']`)?.innerText.includes('ends in')")
    ends_ms = int(time.time() * 1000) + 4_000
    server.call("POST", f"/api/v1/schedules/{made['id']}:pause", {"until_unix_ms": ends_ms})
    page.run(f"location.hash = '#/schedules/{made['id']}'")
    page.wait(
        "document.querySelector('.page-head').innerText.includes('active') && !document.querySelector('.note')", 20
    )
    wait_for(
        "the first instant from then on",  # a later one may come before it
        lambda: any(ends_ms <= r.instant_ms < ends_ms + 1_000 for r in receiver.of(made)),
    )
    page.run("location.hash = '#/upcoming'")
    page.wait("document.querySelectorAll('.lanes').length > 0")
    server.call("DELETE", f"/api/v1/schedules/{made['id']}")


def test_everything_by_the_keyboard(console: Callable[..., Page], server: DevServer) -> None:
    """A schedule is made, found, fired, looked at and deleted, and a lease is seen, without a mouse."""
    page = console()
    page.press("?")
    page.wait("document.querySelector('dialog[open]')?.innerText.includes('Everywhere')")
    page.press("Escape")
    page.wait("!document.querySelector('dialog[open]')")
    page.press("c")
    page.wait("Boolean(document.querySelector('#f-name'))")
    _tab_to(page, "#f-name")
    page.type("by-keyboard")
    _tab_to(page, "#f-expr")
    page.run("document.activeElement.select()")
    page.type("0 5 1 1 *")
    _tab_to(page, "#f-target")
    page.press("l", "o", "g")
    page.wait("document.querySelector('#f-target').value === 'log'")
    _tab_to(page, "button[type=submit]")
    page.press("Enter")
    page.wait_text("Fire now")
    page.press("f")
    page.wait("Boolean(document.querySelector('dialog[open] textarea'))")
    _tab_to(page, "dialog[open] .btn.primary")
    page.press("Enter")
    page.wait("document.querySelector('.verdict')?.innerText.includes('completed')")
    page.press("Escape")
    page.wait("!document.querySelector('.detail')")
    page.press("/")
    page.wait("document.activeElement.id === 'search'")
    page.type("name:by-key*")
    page.wait("chronoRows.list.length === 1")
    page.press("ArrowDown", "j")
    page.wait("document.activeElement.getAttribute('role') === 'grid' && document.querySelector('.row.on')")
    assert page.run("document.activeElement.getAttribute('aria-activedescendant')") == "row-0"
    page.press("Enter")
    page.wait("Boolean(document.querySelector('.detail .verdict'))")
    page.press("Escape", "g", "s")
    page.wait_text("by-keyboard")
    page.press("j")
    page.wait("Boolean(document.querySelector('.sched.on'))")
    for keys, text in JUMPS.items():
        page.press("g", keys)
        page.wait(f"document.querySelector('h1')?.innerText === {json.dumps(text)}")
    for schedule in server.call("GET", "/api/v1/schedules?name_prefix=by-keyboard")[1]["items"]:
        page.run(f"location.hash = '#/schedules/{schedule['id']}'")
        page.wait_text("Delete")
        _tab_to(page, ".acts .btn.danger")
        page.press("Enter")
        page.wait("document.activeElement.innerText === 'Keep it'")
        page.press("Tab", "Enter")
        page.wait("location.hash === '#/schedules'")
    assert server.call("GET", "/api/v1/schedules?name_prefix=by-keyboard")[1]["items"] == []


def _tab_to(page: Page, selector: str, most: int = 60) -> None:
    """Press Tab until the focus is there, as somebody without a mouse must."""
    for _ in range(most):
        if page.run(f"document.activeElement.matches({json.dumps(selector)})"):
            return
        page.press("Tab")
    raise AssertionError(f"{most} times Tab did not come to {selector}")


JUMPS = {
    "u": "Upcoming", "l": "Leases", "k": "Ticks", "i": "Insights", "w": "Workflows", "p": "Policies", "a": "Audit",
    "y": "Keys",
}  # fmt: skip
VIEWS = (
    "", "#/schedules", "#/schedules/new", "#/upcoming", "#/insights", "#/leases", "#/ticks", "#/policies", "#/audit",
    "#/keys",
)  # fmt: skip


@pytest.mark.parametrize(("scheme", "rules"), [("light", ()), ("dark", ("color-contrast",))])
def test_axe_finds_nothing_serious(
    console: Callable[..., Page], server: DevServer, scheme: str, rules: tuple[str, ...]
) -> None:
    try:
        source = (console_libraries.install() / "axe-core" / "axe.min.js").read_text()
    except VendorConsoleFailed as problem:
        pytest.skip(f"axe-core cannot be fetched: {problem}")
    server.call("POST", "/api/v1/leases:acquire", {"name": "seen/by-axe", "holder_id": "a", "ttl_ms": 60_000})
    schedule_id = _failing(server, f"for-axe-{scheme}")
    task_id = _fired(server, schedule_id, "failed")
    page = console()
    page.media(prefers_color_scheme=scheme)
    found: dict[str, list[str]] = {}
    for place in (*VIEWS, f"#/tasks/{task_id}", f"#/schedules/{schedule_id}", f"#/schedules/{schedule_id}/ledger"):
        page.run(f"location.hash = {json.dumps(place or '#/tasks')}")
        page.wait("!document.querySelector('.loading') && Boolean(document.querySelector('main').innerText)")
        if serious := axe(page, source, rules):
            found[place] = serious
    page.press("?")
    page.wait("Boolean(document.querySelector('dialog[open]'))")
    if serious := axe(page, source, rules):
        found["help"] = serious
    assert found == {}


def test_it_fits_a_phone_and_forced_colours(console: Callable[..., Page], server: DevServer) -> None:
    _fired(server, _failing(server, "on-a-phone"), "failed")
    page = console(width=320, height=640)
    page.media(forced_colors="active", prefers_color_scheme="dark")
    wide = {}
    for place in VIEWS:
        page.run(f"location.hash = {json.dumps(place or '#/tasks')}")
        page.wait("!document.querySelector('.loading') && Boolean(document.querySelector('main').innerText)")
        width = page.run("Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth)")
        if width > 320:
            wide[place] = width
        if place == "#/upcoming":
            colour = "getComputedStyle(document.querySelector('.heat-bar')).backgroundColor"
            assert page.run(colour) != page.run("getComputedStyle(document.body).backgroundColor"), "bars can be seen"
    assert wide == {}
    page.media(prefers_color_scheme="light")
    page.run("location.hash = '#/tasks'")
    first_row(page, "on-a-phone")
    shoot(page, "phone")
    page.click("document.querySelector('.row')")
    page.wait("Boolean(document.querySelector('.detail .verdict'))")
    assert page.run("document.querySelector('.detail').getBoundingClientRect().width") <= 320


def test_seven_tabs_leave_the_browser_free_to_ask(console: Callable[..., Page]) -> None:
    pages = [console() for _ in range(7)]
    for page in pages:
        page.wait("document.querySelector('.livedot')?.classList.contains('streaming')")
    ask = """(async () => {
      const began = performance.now();
      await (await fetch('/api/v1/time/now')).text();
      return performance.now() - began;
    })()"""
    took = sorted(page.run(ask) for page in pages)
    assert took[len(took) // 2] <= WAITS_MAX_MS, took
    streams = sum(any(url.endswith("/subscribe") for url in page.requests) for page in pages)
    assert streams == 1, "one tab leads"


def test_another_tab_takes_the_lead_and_nothing_is_missed(
    console: Callable[..., Page], browser: Chromium, server: DevServer
) -> None:
    leader = open_console(browser, server)
    leader.wait("document.querySelector('.livedot')?.classList.contains('streaming')")
    follower = console("#/tasks?q=name:after-the-lead")
    follower.wait("document.querySelector('.livedot')?.classList.contains('streaming')")
    leader.close()
    task_id = _fired(server, _failing(server, "after-the-lead"), "failed")
    follower.wait(f"chronoRows.byId.has({json.dumps(task_id)})")


def test_what_a_schedule_or_an_error_says_stays_text(console: Callable[..., Page], server: DevServer) -> None:
    name = "<img src=x onerror=globalThis.hit=1>"
    schedule_id = _failing(server, name, payload={name: name}, tags=["b"])
    task_id = _fired(server, schedule_id, "failed")
    page = console(f"#/tasks/{task_id}")
    page.wait_text(name)
    for place in ("#/schedules", f"#/schedules/{schedule_id}/json", "#/upcoming"):
        page.run(f"location.hash = {json.dumps(place)}")
        page.wait_text("<img src=x" if place != "#/upcoming" else "Upcoming")
    assert page.run("globalThis.hit === undefined && document.querySelectorAll('img').length === 0")
    server.call("DELETE", f"/api/v1/schedules/{schedule_id}")


def test_signing_in_is_asked_for_where_the_service_asks(
    browser: Chromium, new_server: Callable[..., DevServer], tmp_path: Path
) -> None:
    key = "a-bootstrap-key-of-more-than-32-characters"
    guarded = new_server(env={"CHRONO_AUTH": "apikey", "CHRONO_BOOTSTRAP_KEY": key, "CHRONO_PUBLIC_OPS": "1"})
    guarded.start()
    page = browser.page(f"http://127.0.0.1:{guarded.http_port}/console#/keys")
    page.wait_text("Sign in to ChronoWatch")
    shoot(page, "signin")
    page.fill("#token", "cw_wrong")
    page.button("Sign in")
    page.wait("Boolean(document.querySelector('.wrong-why')?.innerText)")
    page.fill("#token", key)
    page.button("Sign in")
    page.wait_text("New key")
    page.button("New key")
    page.fill("#key-name", "ci")
    page.button("Make the key")
    page.wait("document.querySelector('.secret')?.innerText.startsWith('cw_')")
    page.button("I have it")
    page.reload()
    page.wait_text("ci")
    assert page.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0, (
        "no script has the key"
    )
    page.button("Sign out")
    page.wait_text("Sign in to ChronoWatch")
    wanted = {"name": "reader", "roles": ["viewer"]}
    reader = guarded.call("POST", "/api/v1/keys", wanted, {"authorization": f"Bearer {key}"})[1]["key"]
    page.run("location.hash = '#/schedules'")
    page.fill("#token", reader)
    page.button("Sign in")
    page.wait("document.querySelector('h1')?.innerText === 'Schedules'")
    offered = page.text()
    for text in ("New schedule", "By tag", "Pause the queue", "Audit", "Keys"):
        assert text not in offered, "what a reader may not do"
    check_clean(page, allowed=["401"])
    page.close()
