"""Workflows in the console, in a real browser: a run is started by the form of its input, and shown to its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra import console_libraries
from infra.console_libraries import VendorConsoleFailed
from tests.e2e.console_pages import axe, check_clean, forget_refusals, shoot
from tests.kit.chromium import Chromium, Page, running
from tests.kit.house import House
from tests.kit.wires import Wires, serving
from tests.kit.workflow_calls import publish, settle

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["customer", "amount", "express", "address"],
    "additionalProperties": False,
    "properties": {
        "customer": {"type": "string", "title": "Customer", "description": "Whom it is sent to.", "minLength": 3},
        "amount": {"type": "integer", "minimum": 1, "maximum": 9},
        "price": {"type": ["number", "null"], "examples": [12.5]},
        "size": {"enum": ["small", "large", 3]},
        "express": {"type": "boolean", "default": False},
        "notes": {"type": "array", "items": {"type": "string", "maxLength": 8}},
        "address": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
        },
        "gift": {
            "type": "object",
            "required": ["from"],
            "properties": {"from": {"type": "string", "minLength": 1}, "card": {"type": "boolean"}},
        },
        "extra": {"type": "object", "default": {"source": "console"}},
    },
}
NODES: list[dict[str, Any]] = [
    {"id": "t", "type": "trigger", "on": "manual"},
    {"id": "sum", "type": "script", "language": "python", "code": "input['amount'] * 2"},
    {"id": "check", "type": "approval", "approvers": ["role:admin"], "allow_self": True},
]
EDGES = [{"from": "t", "to": "sum"}, {"from": "sum", "to": "check"}]


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    with serving() as made:
        publish(made.house, "order", description="One order.", input_schema=SCHEMA, nodes=NODES, edges=EDGES)
        publish(made.house, "free", nodes=NODES[:1], edges=[])
        yield made


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with running(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture
def page(browser: Chromium, wires: Wires) -> Iterator[Page]:
    opened = browser.page(f"http://127.0.0.1:{wires.server.port}/console#/workflows")
    opened.wait("document.title.includes('·')")
    yield opened
    check_clean(opened)
    opened.close()


def runs(house: House, workflow: str) -> list[dict[str, Any]]:
    items = house.call("GET", "/api/v1/runs", query=f"workflow={workflow}").json["items"]
    return [house.call("GET", f"/api/v1/runs/{item['id']}").json for item in items]


def wrong(page: Page) -> dict[str, str]:
    """What is said at each field."""
    found: dict[str, str] = page.run(
        "Object.fromEntries([...document.querySelectorAll('.field.wrong')].map((f) =>"
        " [f.querySelector('input,select,textarea').id, f.querySelector('.wrong-why').innerText]))"
    )
    return found


def open_form(page: Page, workflow: str) -> None:
    page.wait_text(workflow)
    page.button(workflow)
    page.wait("Boolean(document.querySelector('form button[type=submit]'))")


def test_a_run_is_started_by_the_fields_of_its_schema_and_watched_to_its_end(page: Page, wires: Wires) -> None:
    open_form(page, "order")
    labels = page.run("[...document.querySelectorAll('form .field label, legend')].map((l) => l.innerText)")
    assert labels == [
        "Customer", "amount", "price (optional)", "size (optional)", "express", "notes (optional)", "address", "city",
        "zip (optional)", "gift (optional)", "from", "card (optional)", "extra (optional)",
    ]  # fmt: skip
    bound = page.run("[...document.querySelectorAll('form label')].every((l) => l.control)")
    assert bound, "each label is of its field"
    # What cannot be sent is said at its field; nothing has gone out.
    page.fill("#f-input_amount", "many")
    page.fill("#f-input_extra", "{")
    page.button("Start")
    page.wait("document.querySelectorAll('.field.wrong').length === 4")
    said = wrong(page)
    assert said.pop("f-input_extra").startswith("not JSON")
    assert said == {
        "f-input_customer": "is required",
        "f-input_amount": "must be a number",
        "f-input_address_city": "is required",
    }
    page.wait("document.activeElement.id === 'f-input_customer'")
    assert runs(wires.house, "order") == []
    # What only the service can judge is said by it, and at the same fields.
    page.fill("#f-input_customer", "an")
    page.fill("#f-input_amount", "12")
    page.fill("#f-input_price", "2.50")
    page.fill("#f-input_notes", "soon\nwithout a hurry\n")
    page.fill("#f-input_address_city", "Bonn")
    page.fill("#f-input_size", "3")
    page.fill("#f-input_extra", '{"source": "console"}')
    page.button("Start")
    page.wait("document.querySelectorAll('.field.wrong').length === 3")
    assert wrong(page) == {
        "f-input_customer": "is below minLength 3",
        "f-input_amount": "is above maximum 9",
        "f-input_notes": "[1] is above maxLength 8",
    }
    described = page.run("document.querySelector('#f-input_customer').getAttribute('aria-describedby')")
    assert described == "f-input_customer-hint f-input_customer-why"
    shoot(page, "workflow-form")
    forget_refusals(page, 422)
    page.fill("#f-input_customer", "ann")
    page.fill("#f-input_amount", "4")
    page.fill("#f-input_notes", "soon")
    page.button("Start")
    page.wait("document.querySelector('section[aria-label=Run] .status.big')?.innerText === 'running'")
    settle(wires.house)
    page.button("Approve")
    page.wait("document.querySelector('.status.big').innerText === 'completed'")
    shoot(page, "workflow-run")
    [run] = runs(wires.house, "order")
    assert run["input"] == {
        "customer": "ann", "amount": 4, "price": 2.5, "size": 3, "express": False, "notes": ["soon"],
        "address": {"city": "Bonn"}, "extra": {"source": "console"},
    }  # fmt: skip
    assert run["nodes"]["sum"]["output"] == 8
    assert {node["state"] for node in run["nodes"].values()} == {"completed"}


def test_it_is_all_done_by_keys_alone(page: Page, wires: Wires) -> None:
    page.press("g", "w")
    page.wait_text("free")
    tab_to(page, "a[href='#/workflows/order']")
    page.press("Enter")
    page.wait("Boolean(document.querySelector('#f-input_customer'))")
    for field, text in (("customer", "bob"), ("amount", "1"), ("address_city", "Ulm"), ("gift_from", "eve")):
        tab_to(page, f"#f-input_{field}")
        page.type(text)
    tab_to(page, "#f-input_gift_card")
    page.press("y")
    tab_to(page, "form button[type=submit]")
    page.press("Enter")
    page.wait("Boolean(document.querySelector('section[aria-label=Run]'))")
    newest = next(run for run in runs(wires.house, "order") if run["input"]["customer"] == "bob")
    assert newest["input"]["gift"] == {"from": "eve", "card": True}
    tab_to(page, ".verdict .btn.danger")
    page.press("Enter")
    page.wait("document.querySelector('.status.big').innerText === 'cancelled'")


def tab_to(page: Page, selector: str, most: int = 60) -> None:
    for _ in range(most):
        if page.run(f"document.activeElement.matches({json.dumps(selector)})"):
            return
        page.press("Tab")
    raise AssertionError(f"{most} times Tab did not come to {selector}")


def test_what_the_fields_cannot_say_is_said_as_json(page: Page, wires: Wires) -> None:
    open_form(page, "order")
    page.fill("#f-input_customer", "zoe")
    page.button("JSON")
    page.wait("document.querySelector('#f-input')?.value.includes('zoe')")
    page.fill("#f-input", '{"customer": "zoe", "amount": 2, "express": true, "address": {"city": "Au"}, "more": 1}')
    page.button("Start")
    page.wait("document.querySelectorAll('.field.wrong').length === 1")
    assert wrong(page) == {"f-input": ".more is not allowed"}
    forget_refusals(page, 422)
    page.button("Fields")
    page.wait("document.querySelector('#f-input_customer')?.value === 'zoe'")
    assert wrong(page) == {}


def test_without_a_schema_any_json_is_the_input_and_none_too(page: Page, wires: Wires) -> None:
    open_form(page, "free")
    page.button("Start")
    page.wait("Boolean(document.querySelector('section[aria-label=Run]'))")
    page.run("location.hash = '#/workflows/free'")
    page.wait("Boolean(document.querySelector('#f-input'))")
    page.fill("#f-input", '[1, {"a": null}]')
    page.button("Start")
    page.wait("Boolean(document.querySelector('section[aria-label=Run]'))")
    assert [run["input"] for run in runs(wires.house, "free")] in ([[1, {"a": None}], None], [None, [1, {"a": None}]])


def test_it_fits_a_phone_and_axe_finds_nothing_serious(page: Page, wires: Wires) -> None:
    try:
        source = (console_libraries.install() / "axe-core" / "axe.min.js").read_text()
    except VendorConsoleFailed as problem:
        pytest.skip(f"axe-core cannot be fetched: {problem}")
    given = {"customer": "x" * 60, "amount": 1, "express": True, "address": {"city": "y" * 60}}
    run_id = wires.house.call("POST", "/api/v1/workflows/order:start", {"input": given}).json["run_id"]
    page.resize(320, 640)
    for place in ("#/workflows", "#/workflows/order", f"#/workflows/order/{run_id}"):
        page.media(prefers_color_scheme="light")
        page.run(f"location.hash = {json.dumps(place)}")
        shown = f"location.hash === {json.dumps(place)} && !document.querySelector('.loading')"
        page.wait(f"{shown} && document.querySelector('h1')?.innerText.length > 0")
        width = page.run("Math.max(document.documentElement.scrollWidth, document.querySelector('main').scrollWidth)")
        assert width <= 320, place
        assert axe(page, source) == [], place
        page.media(prefers_color_scheme="dark")
        assert axe(page, source, ("color-contrast",)) == [], place
        shoot(page, f"workflow-phone-{place.count('/')}")


def test_a_name_that_is_none_says_so(page: Page) -> None:
    page.run("location.hash = '#/workflows/nobody'")
    page.wait_text("Not found")
    forget_refusals(page, 404)
