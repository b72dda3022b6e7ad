"""``scripts/sbom``: what the Lambda zip and its layers are made of, as a CycloneDX document (ECMA-424).

The document is the same bytes every time.

Names and releases are those of the lock, and so are the hashes. Licences and dependencies are what the packages say of
themselves in the environment that the tests run in.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

from chalicelib import VERSION
from infra.given_paths import from_caller
from localdev.locks import DEVELOPMENT, LAYERED, ROOT, SHIPPED, LockFailed, locked

Json = dict[str, Any]

OUT: Final = ROOT / "build" / "sbom.cdx.json"
# The packager adds the half of Chalice that runs, without what the other half needs.
ADDED_BY_PACKAGER: Final = ("chalice",)
# The licences that may be shipped, by their SPDX names.
ALLOWED: Final = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "PSF-2.0"})
# What packages call their licence that do not use SPDX names.
_SPELLINGS: Final[Mapping[str, str]] = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "dual license": "Apache-2.0 OR BSD-3-Clause",
    "python software foundation license": "PSF-2.0",
}


class Shipped(NamedTuple):
    """A package of the zip or of a layer. ``needs`` are the other packages that are shipped and that it depends on."""

    name: str
    release: str
    licence: str
    hashes: tuple[str, ...]
    needs: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.release}"


def shipped() -> list[Shipped]:
    """All packages by name. Raises LockFailed, and PackageNotFoundError outside the environment."""
    for lock in (SHIPPED, *LAYERED):
        lock.check()
    text, tested = "".join(lock.path.read_text() for lock in (SHIPPED, *LAYERED)), DEVELOPMENT.path.read_text()
    releases = locked(text) | {name: locked(tested)[name] for name in ADDED_BY_PACKAGER}
    hashes = _hashes(tested) | _hashes(text)
    found = []
    for name in sorted(releases):
        described = metadata.metadata(name)
        needs = () if name in ADDED_BY_PACKAGER else tuple(sorted(set(_needs(name)) & set(releases)))
        found.append(Shipped(name, releases[name], licence_of(described), hashes[name], needs))
    return found


def licence_of(described: Any) -> str:
    """The licence of a package as an SPDX expression, or in its own words where these are not known."""
    stated = described.get("License-Expression")
    if stated:
        return str(stated)
    words = [str(described.get("License") or "")]
    words += [c.rpartition(" :: ")[2] for c in described.get_all("Classifier", []) if c.startswith("License ::")]
    for word in words:
        if word in ALLOWED or word.lower() in _SPELLINGS:
            return _SPELLINGS.get(word.lower(), word)
    return next((word.splitlines()[0] for word in words if word), "not stated")


def is_allowed(licence: str) -> bool:
    """Whether it may be shipped: all that ``AND`` joins, or one that ``OR`` offers."""
    return any(all(part.strip(" ()") in ALLOWED for part in choice.split(" AND ")) for choice in licence.split(" OR "))


def document(packages: Sequence[Shipped]) -> Json:
    """The CycloneDX document."""
    root = f"pkg:generic/chronowatch@{VERSION}"
    serial = uuid.uuid5(uuid.NAMESPACE_URL, root + "".join(p.purl + "".join(p.hashes) for p in packages))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "chronowatch",
                "version": VERSION,
                "purl": root,
                "licenses": [{"expression": "MIT"}],
            }
        },
        "components": [_component(package) for package in packages],
        "dependencies": _dependencies(root, packages),
    }


def _component(package: Shipped) -> Json:
    files = [{"alg": "SHA-256", "content": each} for each in package.hashes]
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.release,
        "purl": package.purl,
        "licenses": [{"expression": package.licence}],
        # A release has a file for each platform: these are the hashes of all that may be installed.
        "externalReferences": [{"type": "distribution", "url": package.purl, "hashes": files}],
    }


def _dependencies(root: str, packages: Sequence[Shipped]) -> list[Json]:
    purls = {package.name: package.purl for package in packages}
    needed = {name for package in packages for name in package.needs}
    direct = sorted(package.purl for package in packages if package.name not in needed)
    own = [{"ref": p.purl, "dependsOn": [purls[name] for name in p.needs]} for p in packages]
    return [{"ref": root, "dependsOn": direct}, *own]


def _needs(name: str) -> Iterator[str]:
    """What a package depends on here; extras and markers of other platforms are left out."""
    from packaging.requirements import Requirement

    for text in metadata.requires(name) or ():
        asked = Requirement(text)
        if asked.marker is None or asked.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", asked.name).lower()


def _hashes(text: str) -> dict[str, tuple[str, ...]]:
    found = {}
    for entry in re.split(r"\n(?=[a-z])", text):
        name = entry.partition("==")[0].partition("[")[0]
        found[name] = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
    return found


def table(packages: Sequence[Shipped]) -> str:
    """The licences as docs/licences.md shows them."""
    rows = [f"| `{package.name}` | {package.licence} |" for package in packages]
    return "\n".join(["| package | licence |", "| --- | --- |", *rows])


def main(arguments: Sequence[str]) -> int:
    """The exit code of ``scripts/sbom``."""
    parser = argparse.ArgumentParser(prog="scripts/sbom", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write (build/sbom.cdx.json)")
    parser.add_argument("--licences", action="store_true", help="print the table of docs/licences.md instead")
    chosen = parser.parse_args(arguments)
    try:
        packages = shipped()
    except (LockFailed, metadata.PackageNotFoundError) as problem:
        print(f"scripts/sbom: {problem}", file=sys.stderr)
        return 1
    if chosen.licences:
        print(table(packages))
        return 0
    out = from_caller(chosen.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document(packages), indent=1) + "\n")
    print(f"{out}: {len(packages)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
