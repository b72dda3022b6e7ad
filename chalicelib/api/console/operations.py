"""The console over HTTP: one page and the files it is made of, read once a process.

A file's path holds the release of all files together. So browsers keep files for ever, and no page ever runs with
files of another release. The page itself is asked for anew each time.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, none_match
from chalicelib.api.http.requests import Body, Query
from chalicelib.core.errors import NotFound

PAGE = "/console"
FILE = PAGE + "/{release}/{file}"
_FOLDER = Path(__file__).parent / "static"
_INDEX = "index.html"
_PLACE = "%CONSOLE%"  # in the page: where the files are
_PRELOADS = "%PRELOADS%"
ON_DEMAND: Final = frozenset({"workflows.mjs", "input_form.mjs"})  # modules that few visits need
_RELEASE_CHARS = 16
_YEAR_S = 31_536_000
HTML = "text/html; charset=utf-8"
_TYPES: Final[Mapping[str, str]] = {
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

# Styles are set through the DOM alone: no attribute and no element of a page may carry any.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
_SAFE: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class ConsoleRelease(Struct, frozen=True):
    """All files of the console by name, and the name of this set of them."""

    name: str
    files: Mapping[str, str]

    @property
    def page(self) -> str:
        """The page. It names its modules, so that browsers ask for them at once and not import by import."""
        modules = [name for name in self.files if name.endswith(".mjs") and name not in ON_DEMAND]
        links = "\n".join(f'<link rel="modulepreload" href="{_PLACE}/{name}">' for name in modules)
        return self.files[_INDEX].replace(_PRELOADS, links)


class Console:
    """The handlers. The files are read when first asked for: no other call's cold start pays for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._release: ConsoleRelease | None = None

    def page(self, call: Call[Body, Query]) -> Reply:
        """The page, or 304 when the caller has it."""
        release = self._read()
        headers = {**_SAFE, "Cache-Control": "no-cache", "ETag": f'W/"{release.name}"'}
        if none_match(call.headers.get("if-none-match"), release.name):
            return Reply(304, headers=headers)
        text = release.page.replace(_PLACE, f"{call.base}{PAGE}/{release.name}")
        return Reply(200, text, headers, HTML)

    def file(self, call: Call[Body, Query]) -> Reply:
        """One file of this release. Raises NotFound."""
        release, name = self._read(), call.params["file"]
        if call.params["release"] != release.name or name not in release.files or name == _INDEX:
            raise NotFound("there is no such file of the console; a page of another release is to be loaded anew")
        kept = f"public, max-age={_YEAR_S}, immutable"
        return Reply(200, release.files[name], {**_SAFE, "Cache-Control": kept}, _TYPES[Path(name).suffix])

    def _read(self) -> ConsoleRelease:
        with self._lock:
            if self._release is None:
                self._release = read_release(_FOLDER)
            return self._release


def read_release(folder: Path) -> ConsoleRelease:
    """The files of a folder. Raises OSError."""
    files = {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir())}
    digest = hashlib.sha256()
    for name, text in files.items():
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    return ConsoleRelease(digest.hexdigest()[:_RELEASE_CHARS], files)


def operations() -> list[Operation]:
    """The calls of this noun. They are open: signing in begins on the page, and the page itself holds no data."""
    console = Console()
    return [
        Operation(
            method="GET",
            path=PAGE,
            summary="The console: the page",
            tag="operations",
            permission="docs:read",
            open_to_all=True,
            free=True,
            handler=console.page,
            answers={200: "text/html", 304: None},
            description="For people: docs/console.md. It calls this API as its user, and no other host.",
        ),
        Operation(
            method="GET",
            path=FILE,
            summary="The console: a file of the page",
            tag="operations",
            permission="docs:read",
            open_to_all=True,
            free=True,
            handler=console.file,
            answers={200: "text/javascript"},
            errors=(404,),
            answer_headers={"Cache-Control": "For ever: another release of the console has other paths."},
        ),
    ]
