"""``scripts/package``: the deployment as zips and a template, the same bytes from the same sources every time.

Chalice does the packaging, in a clean copy that holds what is shipped and nothing else. Then the zip is written anew
with its files in order and without times, and a zip for each layer. The template is completed by
``infra.cloudformation`` or ``infra.terraform``. They set the runtime too: Chalice takes that of the Python it runs on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from chalicelib import settings
from chalicelib.core.errors import SettingsError
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets.default_target import settled
from infra import announcing, chalice_project, cloudformation, tenant_keys, terraform, vendor
from infra.build import Build, seals
from infra.functions import API, SUBSCRIBE
from infra.given_paths import from_caller
from infra.layers import FOLDER, Layer
from infra.state import EVENT_BUS_DEFAULT, state
from infra.vendor import ARM64, MACHINES, Target
from localdev.interpreters import lambda_python

ROOT = vendor.ROOT
BUILD = ROOT / "build"
CONFIG = ROOT / ".chalice" / "config.json"
ZIP_NAME = "deployment.zip"
_FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
SERVER = "server"  # the package of chalicelib that is for machines, not for Lambda
_REGION = "us-east-1"  # Chalice wants one; the templates do not name it
# These run on an emulator on loopback only, where no credentials need be asked for.
_EMULATED = frozenset({"local", "deployed"})
# Every function loads the base zip at a cold start: what only some need belongs into a layer.
ZIP_MOST_BYTES = 8_000_000
# Lambda's own limit, for the base zip and a function's layers together.
UNZIPPED_MOST_BYTES = 250 * 1024 * 1024


class PackageFailed(Exception):
    """Raised when there is nothing to deploy; the message is one line."""


class Format(NamedTuple):
    """A kind of template: Chalice's option, the file it writes, what completes it, and the name of that."""

    chalice: str
    file: str
    complete: Callable[[dict[str, Any], Build], dict[str, Any]]
    written: str = ""


FORMATS = {
    "cloudformation": Format("cloudformation", "sam.json", cloudformation.complete),
    "terraform": Format("terraform", "chalice.tf.json", terraform.complete),
    "chalice": Format("cloudformation", "sam.json", chalice_project.companion, "stack.json"),
}
_OWN = (ZIP_NAME, chalice_project.FIRST, *(each.written or each.file for each in FORMATS.values()))


class Package(NamedTuple):
    """What was written."""

    template: Path
    zip: Path
    layers: tuple[Path, ...]
    target: Target


def stages() -> list[str]:
    """The stages that can be deployed."""
    return sorted(json.loads(CONFIG.read_text())["stages"])


def default_target(stage: str) -> Target:
    """What a stage's functions run on: Lambda's Python on arm64, or whatever this machine can run for an emulator."""
    return vendor.this_machine(lambda_python()) if stage in _EMULATED else Target()


def package(
    stage: str,
    kind: str,
    out: Path,
    tenant_tags: bool = False,
    target: Target | None = None,
    snapstart: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Package:
    """Write template and zips of ``stage`` to ``out``. ``variables`` are what its functions will get beside those of
    the stage. Raises PackageFailed and vendor.VendorFailed."""
    if tenant_tags and kind != "cloudformation":
        raise PackageFailed("--tenant-tags is for --format cloudformation")
    if snapstart and kind == "chalice":
        raise PackageFailed("--snapstart is not for --format chalice: Chalice publishes no versions")
    if stage not in stages():
        raise PackageFailed(f"no such stage: {stage} (there are {', '.join(stages())})")
    config = json.loads(CONFIG.read_text())
    config["stages"][stage].setdefault("environment_variables", {}).update(variables or {})
    announced_to = check_settings(stage, config)
    chosen_variables = _variables(stage, config)
    bus = chosen_variables.get("CHRONO_EVENT_BUS", EVENT_BUS_DEFAULT)
    build = Build(state(stage, bus), target or default_target(stage), seals(chosen_variables), snapstart, announced_to)
    chosen = FORMATS[kind]
    project = BUILD / f"project-{os.getpid()}"
    made = project / "out"
    try:
        _copy_project(project, build.target)
        announcing.grant(project / ".chalice", build.default_target)
        _run_chalice(project, stage, chosen, made)
        if kind == "chalice":
            chalice_project.keep(project, out, build)
        else:
            shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        _normalise(made / ZIP_NAME, out / ZIP_NAME)
        document = json.loads((made / chosen.file).read_text())
    finally:
        shutil.rmtree(project, ignore_errors=True)
    layers = tuple(_write_layer(layer, build.target, out / layer.zip_name) for layer in build.layers())
    check_sizes(out / ZIP_NAME, layers)
    whole = chosen.complete(document, build)
    if tenant_tags:
        for function in (API, SUBSCRIBE):
            tenant_keys.restrict_template(whole, function)
    template = out / (chosen.written or chosen.file)
    _write_template(whole, template)
    if kind == "chalice":
        _write_template(chalice_project.without_mappings(whole), out / chalice_project.FIRST)
    return Package(template, out / ZIP_NAME, layers, build.target)


def _write_template(whole: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")


def check_sizes(base: Path, layers: Sequence[Path]) -> None:
    """Raise PackageFailed for what would make every cold start slower, and for what Lambda would refuse."""
    size = base.stat().st_size
    if size > ZIP_MOST_BYTES:
        raise PackageFailed(
            f"{base.name} is {size / 1e6:.2f} MB, more than {ZIP_MOST_BYTES / 1e6:.0f}: see infra/layers.py"
        )
    unzipped = sum(entry.file_size for path in (base, *layers) for entry in zipfile.ZipFile(path).infolist())
    if unzipped > UNZIPPED_MOST_BYTES:
        raise PackageFailed(f"the zips unpack to {unzipped / 1e6:.0f} MB: Lambda takes {UNZIPPED_MOST_BYTES / 1e6:.0f}")


def _variables(stage: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {**config.get("environment_variables", {}), **config["stages"][stage].get("environment_variables", {})}


def check_replaceable(out: Path) -> None:
    """Raises PackageFailed for a path that holds something else than a package, which would be deleted."""
    if out.is_dir() and any(out.iterdir()) and not any((out / name).exists() for name in _OWN):
        raise PackageFailed(f"{out} is not empty and holds no package: empty it, or name another directory")
    if out.exists() and not out.is_dir():
        raise PackageFailed(f"{out} is a file")


def check_settings(stage: str, config: Mapping[str, Any]) -> Mapping[str, object] | None:
    """The stage's default target, None for the bus. Raises PackageFailed, with the variable, for what every function
    of the stage would refuse at its start."""
    variables = _variables(stage, config)
    endpoint = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"} if stage in _EMULATED else {}
    try:
        chosen = settings.load({**variables, **endpoint, "AWS_LAMBDA_FUNCTION_NAME": f"chronowatch-{stage}-api"})
        policy = SecretPolicy(environment=chosen.loopback, header_refs=chosen.secrets.header_refs)
        return settled(chosen.default_target, chosen.webhook_allow, policy, ())
    except SettingsError as problem:
        raise PackageFailed(f"{CONFIG.name}: stage {stage} would not start: {problem}") from None


def _copy_project(project: Path, target: Target) -> None:
    """The sources as shipped. Dependencies come as ``vendor``, so Chalice has nothing to fetch."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    shutil.copy(ROOT / "app.py", project)
    shutil.copytree(ROOT / "chalicelib", project / "chalicelib", ignore=_not_shipped)
    (project / ".chalice").mkdir()
    for file in (ROOT / ".chalice").glob("*.json"):
        shutil.copy(file, project / ".chalice")
    (project / "requirements.txt").write_text("")
    (project / "vendor").symlink_to(vendor.ensure(target))


def _not_shipped(folder: str, names: list[str]) -> set[str]:
    """Bytecode, and the server: on Lambda API Gateway stands in its place."""
    left_out = {name for name in names if name == "__pycache__" or name.endswith(".pyc")}
    return left_out | {SERVER} if Path(folder) == ROOT / "chalicelib" else left_out


def _run_chalice(project: Path, stage: str, chosen: Format, out: Path) -> None:
    chalice = Path(sys.executable).parent / "chalice"
    options = ["--stage", stage, "--pkg-format", chosen.chalice]
    env = {**os.environ, "AWS_DEFAULT_REGION": _REGION, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(chalice), "package", *options, str(out)]
    ran = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode != 0:
        raise PackageFailed(f"chalice package failed: {(ran.stderr or ran.stdout).strip()}")


def _normalise(source: Path, target: Path) -> None:
    """The same files in order, without times, modes or bytecode: equal contents give equal bytes."""
    with zipfile.ZipFile(source) as given:
        names = (name for name in set(given.namelist()) if not name.endswith((".pyc", "/")))
        _write_zip({name: given.read(name) for name in names}, target)


def _write_layer(layer: Layer, target: Target, path: Path) -> Path:
    folder = vendor.ensure(target, layer.lock, layer.without(target), f"layer-{layer.name}")
    files = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    _write_zip({f"{FOLDER}/{file.relative_to(folder).as_posix()}": file.read_bytes() for file in files}, path)
    return path


def _write_zip(contents: Mapping[str, bytes], path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, _FIRST_ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if PurePosixPath(name).parts[-2:-1] == ("bin",) else 0o644) << 16
            made.writestr(entry, contents[name])


def main(arguments: Sequence[str]) -> int:
    """The exit code of ``scripts/package``."""
    parser = argparse.ArgumentParser(prog="scripts/package", description=__doc__.splitlines()[0])
    parser.add_argument("--stage", default="prod", help="a stage of .chalice/config.json (prod)")
    parser.add_argument("--format", default="cloudformation", choices=sorted(FORMATS))
    parser.add_argument("--out", type=Path, help="a new directory, or that of an earlier package (build/FORMAT/STAGE)")
    parser.add_argument("--tenant-tags", action="store_true", help="bind the API's role to the keys of its tag tenant")
    parser.add_argument("--arch", choices=sorted(MACHINES), help=f"the functions' processor ({ARM64})")
    parser.add_argument(
        "--snapstart", action="store_true", help="start functions from snapshots of a published version"
    )
    chosen = parser.parse_args(arguments)
    out = from_caller(chosen.out) if chosen.out else BUILD / chosen.format / chosen.stage
    target = default_target(chosen.stage)
    target = target._replace(architecture=chosen.arch or target.architecture)
    try:
        check_replaceable(out)
        made = package(chosen.stage, chosen.format, out, chosen.tenant_tags, target, chosen.snapstart)
    except (PackageFailed, SettingsError, vendor.VendorFailed) as problem:
        print(f"scripts/package: {problem}", file=sys.stderr)
        return 1
    print(f"for {made.target.runtime} on {made.target.architecture}")
    for path in (made.zip, *made.layers):
        content = path.read_bytes()
        most = f" of at most {ZIP_MOST_BYTES / 1e6:.2f}" if path == made.zip else ""
        print(f"{path}: {len(content) / 1e6:.2f} MB{most}, sha256 {hashlib.sha256(content).hexdigest()}")
    print(made.template)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
