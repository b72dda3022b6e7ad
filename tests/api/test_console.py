"""The console's page and files: strict headers, kept for ever or not at all, and small."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from chalicelib.api.console.operations import ON_DEMAND, POLICY, read_release
from tests.kit.house import House

STATIC = Path(__file__).resolve().parents[2] / "chalicelib" / "api" / "console" / "static"
TOTAL_MAX_BYTES = 120_000
ON_DEMAND_MAX_BYTES = 20_000
MODULE_LINES_MAX = 400
LIBRARIES = {"preact.mjs", "hooks.mjs", "htm.mjs", "signals.mjs", "uplot.mjs"}
OWN = sorted(path for path in STATIC.glob("*.mjs") if path.name not in LIBRARIES)
_LINK = re.compile(r'(?:src|href)="([^"]+)"')
_IMPORT = re.compile(r"""^(?:import|export) .*from '([^']+)';$|^import '([^']+)';$""", re.MULTILINE)


def test_the_page_names_only_files_that_are_there(shared: House) -> None:
    page = shared.call("GET", "/console")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    links = _LINK.findall(page.body.decode())
    assert len(links) > 20
    for link in links:
        found = shared.call("GET", link)
        assert found.status == 200, link
        assert found.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    asked = {Path(link).name for link in links if link.endswith(".mjs")}
    assert asked == {path.name for path in STATIC.glob("*.mjs")} - ON_DEMAND, "what each visit needs, at once"


def test_what_is_fetched_on_demand_is_there_and_no_module_of_each_visit_imports_it(shared: House) -> None:
    for name in ON_DEMAND:
        assert shared.call("GET", f"/console/{read_release(STATIC).name}/{name}").status == 200, name
    for module in OWN:
        imported = {(first or second)[2:] for first, second in _IMPORT.findall(module.read_text())}
        assert module.name in ON_DEMAND or not imported & ON_DEMAND, module.name


@pytest.mark.parametrize(
    ("file", "media"),
    [
        ("main.mjs", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("THIRD_PARTY.txt", "text/plain; charset=utf-8"),
    ],
)
def test_browsers_run_a_module_only_under_its_media_type(shared: House, file: str, media: str) -> None:
    answer = shared.call("GET", f"/console/{read_release(STATIC).name}/{file}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, media)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.body.decode() == (STATIC / file).read_text()


def test_nothing_inline_and_no_other_host_may_run(shared: House) -> None:
    page = shared.call("GET", "/console")
    assert page.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "frame-ancestors 'none'" in POLICY
    text = page.body.decode()
    assert "<style" not in text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


@pytest.mark.parametrize("module", OWN, ids=lambda path: path.name)
def test_modules_import_files_that_are_there_and_stay_readable(module: Path) -> None:
    text = module.read_text()
    imported = [first or second for first, second in _IMPORT.findall(text)]
    assert len(imported) == len(re.findall(r"^import ", text, re.MULTILINE)), "one line each"
    for name in imported:
        assert name.startswith("./"), "browsers know no bare names"
        assert (STATIC / name[2:]).is_file(), name
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    assert not re.search(r"innerHTML|dangerouslySet|\beval\(|new Function", text), "text never becomes markup or code"
    assert not re.search(r"https?://(?!example\.com)[\w-]+\.\w", text), "the console knows no other host"


def test_a_page_that_is_known_is_not_sent_again(shared: House) -> None:
    page = shared.call("GET", "/console")
    assert page.headers["Cache-Control"] == "no-cache"
    again = shared.call("GET", "/console", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == page.headers["ETag"]
    assert again.headers["Content-Security-Policy"] == POLICY
    assert shared.call("GET", "/console", headers={"If-None-Match": 'W/"0000000000000000"'}).status == 200


@pytest.mark.parametrize("path", ["nothing.mjs", "index.html", "..%2Foperations.py", "%2e%2e", "main.mjs%00"])
def test_there_are_no_other_files(shared: House, path: str) -> None:
    answer = shared.call("GET", f"/console/{read_release(STATIC).name}/{path}")
    assert answer.status in (400, 404)
    assert answer.headers.get("Cache-Control") is None, "an error is not kept"


def test_a_file_of_another_release_is_not_given_under_its_name(shared: House) -> None:
    assert shared.call("GET", "/console/0123456789abcdef/main.mjs").code == "not_found"


def test_every_change_of_a_file_is_another_release(tmp_path: Path) -> None:
    (tmp_path / "a.mjs").write_text("1")
    (tmp_path / "b.mjs").write_text("2")
    first = read_release(tmp_path).name
    assert read_release(tmp_path).name == first
    (tmp_path / "b.mjs").write_text("3")
    assert read_release(tmp_path).name != first


def test_what_the_page_loads_is_small() -> None:
    # The licences are read on demand, and so are the views that few visits look at.
    loaded = [path for path in STATIC.iterdir() if path.suffix != ".txt" and path.name not in ON_DEMAND]
    assert (total := _compressed(loaded)) <= TOTAL_MAX_BYTES, f"{total} bytes compressed"
    later = [STATIC / name for name in ON_DEMAND]
    assert (total := _compressed(later)) <= ON_DEMAND_MAX_BYTES, f"{total} bytes compressed"


def _compressed(paths: Iterable[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in paths)
