"""Every package that anything installs is locked by hash, and the locks are of the present requirement files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localdev import locks
from localdev.environments import CLIENTS, EMULATOR, PRODUCT, TOOLS
from localdev.locks import DEVELOPMENT, LOCKS, NOT_SHIPPED, RUNTIME, SHIPPED, Lock, LockFailed

ROOT = Path(__file__).resolve().parents[3]


def pins(lock: Lock) -> dict[str, str]:
    """What the requirement files of a lock ask for, in the spelling of locks."""
    text = "".join((ROOT / name).read_text() for name in lock.sources)
    found = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[a-z-]+\])?==(\S+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): release for name, release in found if name not in lock.without}


def entries(lock: Lock) -> list[str]:
    """The entries of a lock: a package and its hashes."""
    text = "\n".join(line for line in lock.path.read_text().splitlines() if not line.startswith("#"))
    return [entry for entry in re.split(r"\n(?=\S)", text.strip()) if entry]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_is_of_the_present_requirements(lock: Lock) -> None:
    lock.check()
    named = locks.locked(lock.path.read_text())
    assert {name: named.get(name) for name in pins(lock)} == pins(lock)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_entry_is_one_release_with_hashes(lock: Lock) -> None:
    for entry in entries(lock):
        first, *hashes = entry.split(" \\\n")
        assert re.fullmatch(r"[a-z0-9-]+(\[[a-z,-]+\])?==\S+( ; .+)?", first), first
        assert hashes
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}", each) for each in hashes), first


def test_every_requirement_file_has_a_lock_and_every_environment_is_made_of_one() -> None:
    assert {path.name for path in ROOT.glob("requirements*.txt")} == {lock.sources[0] for lock in LOCKS}
    assert {path.name for path in ROOT.glob("requirements*.lock")} == {lock.name for lock in LOCKS}
    assert {e.lock for e in (PRODUCT, EMULATOR, CLIENTS, TOOLS)} < set(LOCKS)


def test_the_zip_has_the_releases_that_were_tested() -> None:
    tested = locks.locked(DEVELOPMENT.path.read_text()) | locks.locked(RUNTIME.path.read_text())
    shipped = locks.locked(SHIPPED.path.read_text())
    assert shipped.items() <= tested.items()
    assert shipped.items() <= locks.locked(DEVELOPMENT.path.read_text()).items()
    assert not set(NOT_SHIPPED) & set(shipped)


def test_a_lock_of_other_requirements_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("a==1\n")
    lock = Lock(str(tmp_path / "r.lock"), (str(tmp_path / "r.txt"),))
    with pytest.raises(LockFailed, match="run scripts/lock"):
        lock.check()
    lock.path.write_text(f"{lock.head()}\na==1\n")
    lock.check()
    (tmp_path / "r.txt").write_text("a==2\n")
    with pytest.raises(LockFailed, match="run scripts/lock"):
        lock.check()
