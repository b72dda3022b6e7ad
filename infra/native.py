"""What the compiled libraries of a package ask of the machine that loads them.

An emulator runs whatever this machine can load. What only Lambda would find is looked for here. That is a
library for another processor, for another Python, or for a newer glibc than that of Amazon Linux 2023.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

GLIBC_MOST: Final = (2, 34)
X86_64, AARCH64 = 62, 183  # e_machine
_VERSION = re.compile(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)")
_TAGGED = re.compile(r"\.(?:cpython-(?P<minor>3\d+)|(?P<stable>abi3))[^.]*\.so$")


def glibc_of(content: bytes) -> tuple[int, int]:
    """The newest glibc that an ELF file names; (0, 0) when it names none."""
    return max(((int(major), int(minor)) for major, minor in _VERSION.findall(content)), default=(0, 0))


def machine_of(content: bytes) -> int:
    """The processor of an ELF file; 0 for what is none."""
    return int.from_bytes(content[18:20], "little") if content.startswith(b"\x7fELF") else 0


def problems(folder: Path, python: str, machine: int) -> list[str]:
    """Why Lambda could not load one of the libraries under ``folder``, each with its path; empty when it can."""
    found = []
    for path in sorted(folder.rglob("*.so*")):
        if not path.is_file():
            continue
        name, content = path.relative_to(folder), path.read_bytes()
        if machine_of(content) != machine:
            found.append(f"{name} is for another processor (ELF machine {machine_of(content)})")
        if (needed := glibc_of(content)) > GLIBC_MOST:
            found.append(f"{name} needs GLIBC_{needed[0]}.{needed[1]}, Lambda has {GLIBC_MOST[0]}.{GLIBC_MOST[1]}")
        tag = _TAGGED.search(path.name)
        if tag and tag["minor"] and tag["minor"] != python.replace(".", ""):
            found.append(f"{name} is for Python {tag['minor'][0]}.{tag['minor'][1:]}, the functions run on {python}")
    return found
