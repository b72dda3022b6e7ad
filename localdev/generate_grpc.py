"""``scripts/generate-grpc``: the Python messages of ``proto/``, as the product keeps them in ``chalicelib/api/rpc``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
SOURCE = "chronowatch/v1/chronowatch.proto"
MADE = ROOT / "chalicelib" / "api" / "rpc"
NAMES = ("chronowatch_pb2.py", "chronowatch_pb2.pyi")


class GenerationFailed(Exception):
    """Raised when protoc refuses the source; protoc has said why."""


def made() -> dict[str, str]:
    """The files by name. Raises GenerationFailed."""
    known = str(files("grpc_tools") / "_proto")
    with tempfile.TemporaryDirectory() as folder:
        to = [f"--python_out={folder}", f"--pyi_out={folder}"]
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{known}", *to, SOURCE]) != 0:
            raise GenerationFailed
        return {name: (Path(folder) / Path(SOURCE).parent / name).read_text() for name in NAMES}


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    if unknown := set(arguments) - {"--check"}:
        print(f"scripts/generate-grpc: no such option: {sorted(unknown)[0]}", file=sys.stderr)
        return 1
    try:
        fresh = made()
    except GenerationFailed:
        return 1
    stale = [name for name, text in fresh.items() if not (MADE / name).is_file() or (MADE / name).read_text() != text]
    if "--check" in arguments:
        print(*(f"{name} is not what proto/ makes" for name in stale), sep="\n", end="\n" if stale else "")
        return int(bool(stale))
    for name in stale:
        (MADE / name).write_text(fresh[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
