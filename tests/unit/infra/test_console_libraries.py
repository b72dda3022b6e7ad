"""The console's libraries as they are kept are what the vendor script makes of the pinned packages."""

from __future__ import annotations

import json
import shutil

import pytest

from infra import console_libraries
from infra.console_libraries import LIBRARIES, LICENCES, PINS, STATIC, VendorConsoleFailed

ALLOWED = {"MIT", "Apache-2.0", "BSD-3-Clause", "0BSD", "ISC"}


def test_the_files_are_what_the_script_makes() -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not on PATH: what scripts/vendor-console makes cannot be compared")
    try:
        files = console_libraries.made(console_libraries.install())
    except VendorConsoleFailed as problem:
        pytest.skip(f"the packages cannot be fetched: {problem}")
    assert {name: (STATIC / name).read_text() == text for name, text in files.items()} == dict.fromkeys(files, True)


def test_what_is_pinned_is_pinned_by_hash_and_may_be_shipped() -> None:
    lock = json.loads((PINS / "package-lock.json").read_text())["packages"]
    wanted = json.loads((PINS / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        pinned = lock[f"node_modules/{name}"]
        assert pinned["version"] == version
        assert pinned["integrity"].startswith("sha512-")
        assert pinned["license"] in ALLOWED
        assert "resolved" not in pinned, "the registry is the machine's choice"
    shipped = {name for name, about in lock.items() if name and not about.get("dev")}
    assert shipped == {f"node_modules/{library.package}" for library in LIBRARIES}


def test_their_licences_are_served_with_them() -> None:
    text = (STATIC / LICENCES).read_text()
    for library in LIBRARIES:
        assert library.package in text
        assert library.served in text
    assert "Permission is hereby granted" in text
    assert "Apache License" in text


def test_no_library_names_a_module_that_a_browser_does_not_know() -> None:
    for library in LIBRARIES:
        text = (STATIC / library.served).read_text()
        assert 'from"preact"' not in text
        assert "sourceMappingURL" not in text, library.served
