"""``scripts/generate-grpc``: the Python messages of ``proto/``, as the product keeps them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
# The folder of what is made from each source.
SOURCES: Final[Mapping[str, str]] = {
    "chronowatch/v1/chronowatch.proto": "chalicelib/api/rpc",
    "io/cloudevents/v1/cloudevents.proto": "chalicelib/adapters/brokers",
}
ENDINGS = ("_pb2.py", "_pb2.pyi")


class GenerationFailed(Exception):
    """Raised when protoc refuses the source; protoc has said why."""


def made() -> dict[str, str]:
    """The files by path. Raises GenerationFailed."""
    known = str(files("grpc_tools") / "_proto")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        to = [f"--python_out={folder}", f"--pyi_out={folder}"]
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{known}", *to, *SOURCES]) != 0:
            raise GenerationFailed
        for source, place in SOURCES.items():
            for ending in ENDINGS:
                path = Path(folder) / source.replace(".proto", ending)
                found[f"{place}/{path.name}"] = path.read_text()
    return found


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser("scripts/generate-grpc", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing: say which files are stale, and fail if any is"
    )
    check = parser.parse_args(arguments).check
    try:
        fresh = made()
    except GenerationFailed:
        return 1
    stale = [name for name, text in fresh.items() if not (ROOT / name).is_file() or (ROOT / name).read_text() != text]
    if check:
        print(*(f"{name} is not what proto/ makes" for name in stale), sep="\n", end="\n" if stale else "")
        return int(bool(stale))
    for name in stale:
        (ROOT / name).write_text(fresh[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
