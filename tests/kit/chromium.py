"""A real Chromium without a window, driven by the DevTools protocol: what a person would see, press and type.

It watches for what must never be: an error in the console, a violation of the Content-Security-Policy, an exception
that nobody caught, a request to another host.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.programs import find, program

START_TIMEOUT_S = 120.0
CALL_TIMEOUT_S = 30.0
WAIT_S = 30.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
# The browser ends with its standard input, so also when the run that needs it is killed.
_WHILE_HELD = ("sh", "-c", '"$0" "$@" </dev/null & pid=$!; cat >/dev/null; kill "$pid" 2>/dev/null; wait "$pid"')
KEYS: Mapping[str, tuple[str, int]] = {
    "Enter": ("\r", 13), "Escape": ("", 27), "Tab": ("", 9), "ArrowDown": ("", 40), "ArrowUp": ("", 38),
    "Home": ("", 36), "End": ("", 35), "PageDown": ("", 34), "PageUp": ("", 33), "Backspace": ("", 8), " ": (" ", 32),
}  # fmt: skip
_TASKS = "disabled-by-default-devtools.timeline"
# Runs before any script of the page.
_WATCH = """
globalThis.__seen = { csp: [] };
addEventListener('securitypolicyviolation', (e) => __seen.csp.push(`${e.violatedDirective} ${e.blockedURI}`));
"""

# A field of text is selected, so that it can be typed over; what is picked and not typed is set.
_FILL = """(() => {
  const e = document.querySelector(%s), text = %s;
  e.focus();
  if (e.select && e.type !== 'datetime-local') return e.select();
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(e), 'value').set.call(e, text);
  for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, { bubbles: true }));
})()"""

Json = dict[str, Any]


class BrowserFailed(AssertionError):
    """Raised when the page or the browser did not do what was asked; the message is what it said."""


class Chromium:
    """One browser with a profile of its own. ``close`` ends it."""

    def __init__(self, profile: Path) -> None:
        binary = find("chromium") or program("chromium-headless-shell", package="chromium-headless-shell")
        command = [*_WHILE_HELD, str(binary), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._answers: dict[int, Json] = {}
        self._arrived = threading.Condition()
        self._pages: dict[str, Page] = {}
        self._gone = False
        self._socket = self._connect(profile / "DevToolsActivePort")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _connect(self, note: Path) -> ClientConnection:
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise BrowserFailed(f"Chromium ended with {self._process.returncode}")
            with contextlib.suppress(OSError, ValueError):
                port, path = note.read_text().split("\n")[:2]
                return connect(f"ws://127.0.0.1:{int(port)}{path}", max_size=None, proxy=None, legacy=True)
            time.sleep(0.02)
        self._process.kill()
        raise BrowserFailed(f"Chromium did not begin within {START_TIMEOUT_S} s")

    def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for text in self._socket:
                message = json.loads(text)
                if "id" in message:
                    with self._arrived:
                        self._answers[message["id"]] = message
                        self._arrived.notify_all()
                elif message.get("sessionId") in self._pages:
                    self._pages[message["sessionId"]].hear(message["method"], message["params"])
        with self._arrived:
            self._gone = True
            self._arrived.notify_all()

    def send(self, method: str, params: Mapping[str, Any] | None = None, session: str | None = None) -> int:
        """Send a command and do not wait for what comes of it."""
        with self._lock:
            number = next(self._ids)
            message: Json = {"id": number, "method": method, "params": params or {}}
            if session is not None:
                message["sessionId"] = session
            self._socket.send(json.dumps(message))
        return number

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        session: str | None = None,
        timeout_s: float | None = None,
    ) -> Json:
        """What a command answers. Raises BrowserFailed."""
        number = self.send(method, params, session)
        with self._arrived:
            arrived = self._arrived.wait_for(
                lambda: number in self._answers or self._gone, CALL_TIMEOUT_S if timeout_s is None else timeout_s
            )
            if not arrived or number not in self._answers:
                raise BrowserFailed(f"{method} was not answered")
            answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserFailed(f"{method}: {answer['error']['message']}")
        result: Json = answer["result"]
        return result

    def page(self, url: str = "about:blank", *, width: int = 1280, height: int = 800) -> Page:
        """A new tab that shows ``url``."""
        target = self.call("Target.createTarget", {"url": "about:blank", "width": width, "height": height})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        made = Page(self, session, target)
        self._pages[session] = made
        made.begin(width, height)
        if url != "about:blank":
            made.go(url)
        return made

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(Exception):
            self.send("Browser.close")
            self._socket.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


class Page:
    """One tab."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._answering: Callable[[Json], Json | None] | None = None
        self._traced: list[Json] = []
        self._trace_ended = threading.Event()

    def begin(self, width: int, height: int) -> None:
        """Watch it from the very beginning."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        self.resize(width, height)

    def call(self, method: str, timeout_s: float | None = None, /, **params: Any) -> Json:
        """A command of the protocol on this tab."""
        return self._browser.call(method, params, self._session, timeout_s)

    def hear(self, method: str, params: Json) -> None:
        """What the browser says of this tab."""
        if method == "Runtime.exceptionThrown":
            detail = params["exceptionDetails"]
            self.problems.append("exception: " + str(detail.get("exception", {}).get("description", detail["text"])))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.problems.append(
                "console: " + " ".join(str(a.get("value", a.get("description"))) for a in params["args"])
            )
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            self.problems.append(f"log: {entry['text']} {entry.get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Fetch.requestPaused":
            self._answer(params)
        elif method == "Tracing.dataCollected":
            self._traced += params["value"]
        elif method == "Tracing.tracingComplete":
            self._trace_ended.set()

    def _answer(self, params: Json) -> None:
        answer = None if self._answering is None else self._answering(params["request"])
        number = {"requestId": params["requestId"]}
        if answer is None:
            self._browser.send("Fetch.continueRequest", number, self._session)
            return
        body = base64.b64encode(json.dumps(answer).encode()).decode()
        headers = [{"name": "content-type", "value": "application/json"}]
        made = {**number, "responseCode": 200, "responseHeaders": headers, "body": body}
        self._browser.send("Fetch.fulfillRequest", made, self._session)

    def answer(self, pattern: str, by: Callable[[Json], Json | None]) -> None:
        """Let ``by`` answer requests whose URL fits ``pattern``; None hands them on to the server."""
        self._answering = by
        self.call("Fetch.enable", patterns=[{"urlPattern": pattern}])

    def resize(self, width: int, height: int) -> None:
        """As wide and high as this."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, **features: str) -> None:
        """What the system prefers, such as ``prefers_color_scheme="dark"``."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=named)

    def go(self, url: str) -> None:
        """Show another address."""
        self.call("Page.navigate", url=url)

    def reload(self) -> None:
        """Load it anew."""
        self.call("Page.reload")

    def run(self, script: str, timeout_s: float | None = None) -> Any:
        """What a script comes to; a promise is waited for. Raises BrowserFailed."""
        answer = self.call("Runtime.evaluate", timeout_s, expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            detail = answer["exceptionDetails"]
            raise BrowserFailed(str(detail.get("exception", {}).get("description", detail["text"])))
        return answer["result"].get("value")

    def wait(self, script: str, timeout_s: float = WAIT_S) -> Any:
        """What a script comes to, once that is true."""
        until = time.monotonic() + timeout_s
        while True:
            found = None
            with contextlib.suppress(BrowserFailed):  # the page may be on its way to another
                found = self.run(script)
            if found:
                return found
            if time.monotonic() > until:
                raise BrowserFailed(
                    f"waited {timeout_s} s for {script}\nproblems: {self.problems}\n{self.text()[:1500]}"
                )
            time.sleep(0.03)

    def wait_text(self, text: str, timeout_s: float = WAIT_S) -> None:
        """Wait until the page shows a text."""
        self.wait(f"document.body.innerText.includes({json.dumps(text)})", timeout_s)

    def text(self) -> str:
        """What the page shows."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def click(self, script: str) -> None:
        """Click in the middle of what a script finds."""
        place = self.wait(
            f"(() => {{ const e = {script}; if (!e) return null; e.scrollIntoView({{block: 'nearest'}});"
            " const r = e.getBoundingClientRect(); return r.width ? [r.x + r.width / 2, r.y + r.height / 2] : null })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **button)

    def button(self, text: str) -> None:
        """Click what is called so: a button, a link or a label."""
        self.click(
            "[...document.querySelectorAll('dialog[open] button, dialog[open] label')].concat("
            "document.querySelector('dialog[open]') ? [] : [...document.querySelectorAll('button, a, label, summary')])"
            f".find((e) => e.innerText.trim().startsWith({json.dumps(text)}) && e.getClientRects().length)"
        )

    def point(self, x: float, y: float) -> None:
        """Move the mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            text, code = KEYS.get(key, (key, ord(key.upper()) if len(key) == 1 else 0))
            common = {"key": key, "windowsVirtualKeyCode": code}
            typed = {"text": text} if text else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **common, **typed)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Put in a text where the focus is, in place of what is selected."""
        self.call("Input.insertText", text=text)

    def fill(self, selector: str, text: str) -> None:
        """Put a text into a field, in place of the one before."""
        self.wait(f"Boolean(document.querySelector({json.dumps(selector)}))")
        self.run(_FILL % (json.dumps(selector), json.dumps(text)))
        kind = self.run(f"document.querySelector({json.dumps(selector)}).type || ''")
        if kind != "datetime-local" and not str(kind).startswith("select"):
            self.type(text)

    def screenshot(self, path: Path, *, webp: bool = False) -> None:
        """What it looks like."""
        chosen: Json = {"format": "webp", "quality": 80} if webp else {"format": "png"}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **chosen)["data"]))

    def violations(self) -> list[str]:
        """What the Content-Security-Policy stopped."""
        found: list[str] = self.run("__seen.csp")
        return found

    @contextlib.contextmanager
    def watched(self, longest: list[float]) -> Iterator[None]:
        """Add to ``longest`` how long the page's longest task computes within a block, in milliseconds.

        It is the time on a processor: on a machine that others use too, what passes meanwhile says little of the page.
        """
        self._traced, self._trace_ended = [], threading.Event()
        chosen = {"includedCategories": [_TASKS], "excludedCategories": ["*"]}
        self.call("Tracing.start", traceConfig=chosen, transferMode="ReportEvents")
        try:
            yield
        finally:
            self.call("Tracing.end")
            assert self._trace_ended.wait(CALL_TIMEOUT_S), "the trace did not end"
        pages = {e["tid"] for e in self._traced if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
        tasks = [e["tdur"] / 1000 for e in self._traced if e["name"] == "RunTask" and e["tid"] in pages and "tdur" in e]
        assert tasks, "no task of the page was seen"
        longest.append(max(tasks))

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", {"targetId": self._target})


@contextlib.contextmanager
def running(profile: Path) -> Iterator[Chromium]:
    """A browser for the time of a block."""
    browser = Chromium(profile)
    try:
        yield browser
    finally:
        browser.close()
