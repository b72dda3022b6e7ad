"""``scripts/vendor-console``: the console's libraries as files that browsers load as they are.

npm fetches what ``infra/console/package-lock.json`` pins, by hash, and runs nothing of it. Browsers know no bare names
of modules without an import map, which a strict Content-Security-Policy blocks. So names are rewritten to files.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "infra" / "console"
STATIC = ROOT / "chalicelib" / "api" / "console" / "static"
INSTALLED = ROOT / "build" / "console"
LICENCES = "THIRD_PARTY.txt"
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
NPM_TIMEOUT_S = 120


class VendorConsoleFailed(Exception):
    """Raised when the libraries cannot be had; the message is one line."""


class Library(NamedTuple):
    """A file of a package, under the name it is served by."""

    package: str
    source: str
    served: str
    ending: str = ""


LIBRARIES = (
    Library("preact", "dist/preact.mjs", "preact.mjs"),
    Library("preact", "hooks/dist/hooks.mjs", "hooks.mjs"),
    Library("htm", "dist/htm.mjs", "htm.mjs"),
    Library("@preact/signals-core", "dist/signals-core.mjs", "signals.mjs"),
    # Its own ES module is three times as long, since it is not minified.
    Library("uplot", "dist/uPlot.iife.min.js", "uplot.mjs", "export default uPlot;\n"),
    Library("uplot", "dist/uPlot.min.css", "uplot.css"),
)
_MAP = re.compile(r"//# sourceMappingURL=\S+")
_NAMES = {'from"preact"': 'from"./preact.mjs"'}


def install() -> Path:
    """The directory ``node_modules`` of what the lock pins. Raises VendorConsoleFailed."""
    npm = shutil.which("npm")
    if npm is None:
        raise VendorConsoleFailed("npm is not on PATH (it comes with Node.js 18 or newer)")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    stamp = INSTALLED / "installed.json"
    wanted = (PINS / "package-lock.json").read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return INSTALLED / "node_modules"
    for name in NPM_FILES:
        shutil.copy(PINS / name, INSTALLED)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    try:
        ran = subprocess.run(  # noqa: S603
            command, cwd=INSTALLED, capture_output=True, text=True, check=False, timeout=NPM_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise VendorConsoleFailed(f"npm took more than {NPM_TIMEOUT_S} s") from None
    if ran.returncode != 0:
        said = [line for line in ran.stderr.splitlines() if "npm error" in line] or [ran.stderr]
        raise VendorConsoleFailed(f"npm failed: {said[0].strip()}")
    stamp.write_text(wanted)
    return INSTALLED / "node_modules"


def made(modules: Path) -> dict[str, str]:
    """The files by name, of the packages under ``modules``: libraries, and their licences."""
    return {each.served: _file(modules, each) for each in LIBRARIES} | {LICENCES: _licences(modules)}


def _file(modules: Path, library: Library) -> str:
    text = (modules / library.package / library.source).read_text()
    text = _MAP.sub("", text).rstrip() + "\n"  # the maps are not shipped, and browsers would ask for them
    for bare, file in _NAMES.items():
        text = text.replace(bare, file)
    return text + library.ending


def _licences(modules: Path) -> str:
    parts = ["The console is made with these libraries.\n"]
    for package in sorted({library.package for library in LIBRARIES}):
        about = json.loads((modules / package / "package.json").read_text())
        files = sorted(library.served for library in LIBRARIES if library.package == package)
        head = f"{package} {about['version']} ({about['license']}): {', '.join(files)}"
        parts.append(f"{'-' * len(head)}\n{head}\n\n{(modules / package / 'LICENSE').read_text().strip()}\n")
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """The exit code of ``scripts/vendor-console``."""
    parser = argparse.ArgumentParser(prog="scripts/vendor-console", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where a file differs")
    chosen = parser.parse_args(arguments)
    try:
        files = made(install())
    except VendorConsoleFailed as problem:
        print(f"scripts/vendor-console: {problem}", file=sys.stderr)
        return 75
    differing = [n for n, text in files.items() if not (STATIC / n).exists() or (STATIC / n).read_text() != text]
    for name in differing:
        print(f"{'differs' if chosen.check else 'written'}: {(STATIC / name).relative_to(ROOT)}")
        if not chosen.check:
            (STATIC / name).write_text(files[name])
    return 1 if chosen.check and differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
