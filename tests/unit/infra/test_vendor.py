"""Which wheels are asked for does not depend on the Python that packages."""

from __future__ import annotations

import pytest

from infra.vendor import ARM64, X86_64, Target, VendorFailed, requirements
from localdev.locks import LAYERED, SHIPPED, locked

HASH = "    --hash=sha256:" + "0" * 64
LOCK = f"""# Made by scripts/lock
always==1.0 \\
{HASH}
old==2.0 ; python_full_version < '3.13' \\
{HASH} \\
{HASH}
new[extra]==3.0 ; python_version >= '3.13' and platform_machine == 'aarch64' \\
{HASH}
windows==4.0 ; sys_platform == 'win32' \\
{HASH}
"""


def names(text: str) -> list[str]:
    return [line.partition("==")[0] for line in text.splitlines() if not line.startswith(" ")]


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (Target("3.13", ARM64), ["always", "new[extra]"]),
        (Target("3.13", X86_64), ["always"]),
        (Target("3.11", ARM64), ["always", "old"]),
    ],
)
def test_markers_are_judged_by_the_target(target: Target, wanted: list[str]) -> None:
    asked = requirements(LOCK, target)
    assert names(asked) == wanted
    assert ";" not in asked, "pip would judge it by the Python that it runs on"
    assert asked.count("--hash") == (2 if "old" in wanted else 1) + len(wanted) - 1


def test_what_the_base_has_is_left_out_of_a_layer() -> None:
    assert names(requirements(LOCK, Target("3.11"), {"always"})) == ["old"]


def test_a_line_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(VendorFailed, match=r"cannot be read: -e \./here"):
        requirements("-e ./here\n", Target())


@pytest.mark.parametrize("lock", [SHIPPED, *LAYERED], ids=lambda lock: lock.name)
def test_every_entry_of_the_locks_can_be_read(lock: object) -> None:
    text = lock.path.read_text()  # type: ignore[attr-defined]
    assert {name.partition("[")[0] for name in names(requirements(text, Target()))} <= set(locked(text))
    assert len(names(requirements(text, Target()))) > 2
