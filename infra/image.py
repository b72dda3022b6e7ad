"""The root file system of the image, laid out without a builder: ``scripts/image``.

It follows the Dockerfile, instruction by instruction, on one of two bases. ``debian`` is a Debian of its own, by
mmdebstrap or debootstrap. ``host`` is the Python that runs this, with the libraries that it needs. The packages are
those of LOCKS, from this environment, where each must have the release that its lock names.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from infra.given_paths import from_caller

ROOT: Final = Path(__file__).resolve().parent.parent
DOCKERFILE: Final = ROOT / "Dockerfile"
WHEELS: Final = "wheels"  # the stage that installs the packages
LOCKS: Final = (  # what it installs
    "requirements.lock",
    "requirements-grpc.lock",
    "requirements-postgres.lock",
    "requirements-brokers.lock",
    "requirements-workflows.lock",
)
SITE: Final = "/build/site"  # where it does
HOST, DEBIAN = "host", "debian"
HOST_PROGRAMS: Final = ("sh", "install")  # what RUN uses
LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "test", "tests", "idlelib", "site-packages", "config-*")
ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}


class ImageFailed(Exception):
    """Raised when the image cannot be laid out; the message is one line."""


class Image(NamedTuple):
    """What a container of the image runs, and as whom."""

    environment: Mapping[str, str]
    directory: str
    user: str
    entrypoint: Sequence[str]
    command: Sequence[str]
    healthcheck: Sequence[str]
    volumes: Sequence[str]
    labels: Mapping[str, str]
    ports: Sequence[str]
    stop_signal: str


Instruction = tuple[str, str]
CopyFile = Callable[[Path, Path], object]


def instructions(text: str) -> list[Instruction]:
    """The instructions of the last stage of a Dockerfile, without its FROM."""
    joined = re.sub(r"\s*\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    parsed = [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]
    last = max(number for number, line in enumerate(parsed) if line[0] == "FROM")
    return [(line[0], line[1].strip()) for line in parsed[last + 1 :]]


def image(text: str) -> Image:
    """What the last stage says of its containers."""
    said: dict[str, str] = {}
    pairs: dict[str, dict[str, str]] = {"ENV": {}, "LABEL": {}}
    for name, rest in instructions(text):
        said[name] = rest
        if name in pairs:
            pairs[name].update({key: value for key, _, value in (pair.partition("=") for pair in shlex.split(rest))})
    return Image(
        environment={**ENVIRONMENT, **pairs["ENV"]},
        directory=said["WORKDIR"],
        user=said["USER"],
        entrypoint=json.loads(said["ENTRYPOINT"]),
        command=json.loads(said["CMD"]),
        healthcheck=json.loads(said["HEALTHCHECK"].partition(" CMD ")[2]),
        volumes=said["VOLUME"].split(),
        labels=pairs["LABEL"],
        ports=said["EXPOSE"].split(),
        stop_signal=said["STOPSIGNAL"],
    )


def lay_out(target: Path, base: str = HOST) -> Image:
    """Make the root file system in ``target``, an empty directory. Raises ImageFailed."""
    text = DOCKERFILE.read_text()
    copy_file = _link if base == HOST else shutil.copy2
    (_lay_host if base == HOST else _lay_debian)(target)
    for name in ("tmp", "proc", "dev", "etc", "var/lib"):  # a Debian of so few packages has not all of them
        (target / name).mkdir(parents=True, exist_ok=True)
    for name, line in (("passwd", "root:x:0:0::/:/bin/sh\n"), ("group", "root:x:0:\n")):
        if not (target / "etc" / name).exists():
            (target / "etc" / name).write_text(line)
    for name, rest in instructions(text):
        if name == "COPY":
            _copy(target, rest.split(), copy_file)
            if base == HOST:
                _copy_libraries(target, list(target.rglob("*.so")))
        elif name == "RUN":
            _run([str(shutil.which("chroot")), str(target), "sh", "-c", rest], env=ENVIRONMENT)
        elif name == "WORKDIR":
            _inside(target, rest).mkdir(parents=True, exist_ok=True)
    return image(text)


def _copy(target: Path, words: Sequence[str], copy_file: CopyFile) -> None:
    *sources, place = words
    if sources[0] == f"--from={WHEELS}":
        if sources[1:] != [SITE]:
            raise ImageFailed(f"the Dockerfile copies {sources[1:]} from the stage {WHEELS}, which makes {SITE}")
        _copy_packages(_inside(target, place), copy_file)
        return
    for source in sources:
        to = _inside(target, place) / source if place.endswith("/") else _inside(target, place)
        to.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / source, to)


def _copy_packages(to: Path, copy_file: CopyFile) -> None:
    """What pip would install from LOCKS."""
    for name, release in sorted(set(_locked())):  # one that two of them name has one release
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise ImageFailed(f"{name} is not installed in this environment") from None
        if found.version != release:
            raise ImageFailed(f"{name} is {found.version} in this environment, and {release} in its lock file")
        site = Path(str(found.locate_file("")))
        for file in found.files or ():
            path = (site / file).resolve()
            if ".." in file.parts or not path.is_file():
                continue  # scripts beside the packages, which nothing in the image runs
            place = to / file
            place.parent.mkdir(parents=True, exist_ok=True)
            copy_file(path, place)  # with its time, by which its compiled form is valid


def _locked() -> Iterator[tuple[str, str]]:
    """Names and releases in LOCKS, of those that are for this platform."""
    from packaging.markers import Marker

    for line in [line for name in LOCKS for line in (ROOT / name).read_text().splitlines()]:
        found = re.match(r"([a-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]+))?", line, re.IGNORECASE)
        if found and (found[3] is None or Marker(found[3].strip()).evaluate()):
            yield found[1], found[2]


# -- bases


def _lay_debian(target: Path) -> None:
    packages = "python3-minimal,libpython3-stdlib,coreutils,dash"
    if shutil.which("mmdebstrap"):
        _run(["mmdebstrap", "--variant=extract", f"--include={packages},libc-bin", "bookworm", str(target)])
    elif shutil.which("debootstrap"):
        _run(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(target)])
    else:
        raise ImageFailed("needs mmdebstrap or debootstrap")


def _lay_host(target: Path) -> None:
    """The Python that runs this, its standard library, and what all of it links to."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    program = Path(sys.base_prefix, "bin", version).resolve()
    library = Path(sys.base_prefix, "lib", version)
    place = target / "usr" / "local"
    (place / "bin").mkdir(parents=True)
    shutil.copy2(program, place / "bin" / version)
    (place / "bin" / "python3").symlink_to(version)
    shutil.copytree(library, place / "lib" / version, ignore=LEFT_OUT, symlinks=True, copy_function=_link)
    (target / "bin").mkdir()
    programs = [Path(str(shutil.which(name))) for name in HOST_PROGRAMS]
    for each in programs:
        shutil.copy2(each.resolve(), target / "bin" / each.name)
    _copy_libraries(target, [program, *programs, *library.glob("lib-dynload/*.so")])


def _copy_libraries(target: Path, files: Sequence[Path]) -> None:
    """What programs and modules link to and the root has not yet."""
    for needed in _linked(files):
        to = _inside(target, str(needed))
        if not to.exists() and target not in needed.parents:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(needed.resolve(), to)


def _linked(files: Sequence[Path]) -> set[Path]:
    """The shared libraries of programs and modules, and the loader."""
    said = _run(["ldd", *(str(file) for file in files)])
    return {Path(found) for found in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE)}


def _link(source: Path | str, place: Path | str) -> None:
    """One file in two places, where one disk has both: nothing in the root is ever written to."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)


def _inside(target: Path, absolute: str) -> Path:
    return target / absolute.lstrip("/")


def _run(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=env)  # noqa: S603
    if ran.returncode != 0:
        last = (ran.stderr.strip() or "failed").splitlines()[-1]
        raise ImageFailed(f"{command[0]}: {last}")
    return ran.stdout


# -- an image of the Open Container Initiative, by umoci


def pack(root: Path, made: Image, layout: Path) -> None:
    """Write ``root`` as the image ``latest`` into a new OCI layout. Raises ImageFailed."""
    if shutil.which("umoci") is None:
        raise ImageFailed("needs umoci")
    name = f"{layout}:latest"
    bundle = layout.with_name(f"{layout.name}-bundle")
    _run(["umoci", "init", "--layout", str(layout)])
    _run(["umoci", "new", "--image", name])
    _run(["umoci", "unpack", "--image", name, str(bundle)])
    shutil.rmtree(bundle / "rootfs")
    root.rename(bundle / "rootfs")
    _run(["umoci", "repack", "--image", name, str(bundle)])
    options = [f"--config.user={made.user}", f"--config.workingdir={made.directory}"]
    options += [f"--config.stopsignal={made.stop_signal}"]
    options += [f"--config.entrypoint={word}" for word in made.entrypoint]
    options += [f"--config.cmd={word}" for word in made.command]
    options += [f"--config.env={key}={value}" for key, value in made.environment.items()]
    options += [f"--config.label={key}={value}" for key, value in made.labels.items()]
    options += [f"--config.volume={volume}" for volume in made.volumes]
    options += [f"--config.exposedports={port}" for port in made.ports]
    _run(["umoci", "config", "--image", name, *options])
    shutil.rmtree(bundle)


def main(arguments: Sequence[str]) -> int:
    """``scripts/image [--base host|debian] DIRECTORY``: an OCI layout there where umoci is, else the bare root."""
    parser = argparse.ArgumentParser("scripts/image", description=__doc__)
    parser.add_argument("--base", choices=(HOST, DEBIAN), default=DEBIAN, help="whose packages: default %(default)s")
    parser.add_argument("directory", metavar="DIRECTORY", help="a new directory")
    chosen = parser.parse_args(arguments)
    base: str = chosen.base
    target = from_caller(Path(chosen.directory))
    root = target.with_name(f"{target.name}-root")
    for path in (target, root):
        if path.exists():
            print(f"scripts/image: {path} exists", file=sys.stderr)
            return 1
    try:
        root.mkdir(parents=True)
        made = lay_out(root, base)
        if shutil.which("umoci"):
            pack(root, made, target)
        else:
            root.rename(target)
            print("scripts/image: there is no umoci: this is the root file system, and no image", file=sys.stderr)
    except (ImageFailed, OSError) as problem:
        shutil.rmtree(root, ignore_errors=True)
        print(f"scripts/image: {problem}", file=sys.stderr)
        return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
