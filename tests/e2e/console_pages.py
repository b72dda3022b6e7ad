"""The console as tests use it: open, signed in, judged at the end by what must never be."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.dev_server import DevServer
from tests.kit.chromium import WAIT_S, Chromium, Page

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "build" / "console-screenshots"
PICTURES = ROOT / "docs" / "images"
# What axe says of what is deliberate: the grid moves its focus by aria-activedescendant.
SERIOUS = ("serious", "critical")


def open_console(
    browser: Chromium, server: DevServer, place: str = "", *, width: int = 1280, height: int = 800
) -> Page:
    """A tab with the console, ready."""
    page = browser.page(width=width, height=height)
    page.go(f"http://127.0.0.1:{server.http_port}/console{place}")
    page.wait("document.title.includes('·')")  # it is there, and listens to keys
    return page


def check_clean(page: Page, allowed: Sequence[str] = ()) -> None:
    """Nothing was written to the console, nothing broke the policy, and no other host was asked."""
    problems = [problem for problem in page.problems if not any(text in problem for text in allowed)]
    assert not problems, f"the console says {problems}"
    violations = page.violations()
    assert not violations, f"the policy stopped {violations}"
    hosts = {urlsplit(url).hostname for url in page.requests if not url.startswith(("data:", "about:"))}
    assert hosts == {"127.0.0.1"}, f"asked {hosts}"


def axe(page: Page, source: str, rules: Sequence[str] = ()) -> list[str]:
    """What axe-core finds serious or worse, by all of its rules or by some.

    It runs beside the page's own scripts, so the policy does not bind it.
    """
    tree = page.call("Page.getFrameTree")["frameTree"]["frame"]["id"]
    world = page.call("Page.createIsolatedWorld", frameId=tree, worldName="axe")["executionContextId"]
    chosen = json.dumps({"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})})
    asked = source + f";axe.run(document, {chosen}).then((r) => JSON.stringify(r.violations.map("
    asked += "(v) => [v.impact, v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200))])))"
    answer = page.call("Runtime.evaluate", 60, expression=asked, contextId=world, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in answer, answer
    found: list[Any] = json.loads(answer["result"]["value"])
    return [f"{impact} {rule}: {nodes}" for impact, rule, nodes in found if impact in SERIOUS]


def shoot(page: Page, name: str) -> None:
    """Keep what it looks like under build/; with CHRONO_CONSOLE_PICTURES=1 also for docs/console.md."""
    page.screenshot(SHOTS / f"{name}.png")
    if os.environ.get("CHRONO_CONSOLE_PICTURES"):
        page.screenshot(PICTURES / f"console-{name}.webp", webp=True)


def first_row(page: Page, name: str, timeout_s: float = WAIT_S) -> str:
    """The id of the first task of a name, once the list shows one."""
    found: str = page.wait(
        f"[...document.querySelectorAll('.row')].find((r) => r.innerText.includes({json.dumps(name)}))?.dataset.id",
        timeout_s,
    )
    return found


def forget_refusals(page: Page, status: int) -> None:
    """Browsers write refused calls to their console; this one was asked for. Nothing else may stand there."""
    others = [problem for problem in page.problems if f"status of {status}" not in problem]
    assert not others, f"the console says {others}"
    assert page.problems, f"nothing was refused with {status}"
    page.problems.clear()
