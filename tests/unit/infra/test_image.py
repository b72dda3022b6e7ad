"""The Dockerfile: judged by hadolint, and by what the issue of an image asks of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from chalicelib.core.configuration.file_keys import keys_of
from container.__main__ import COMMANDS
from infra import image
from localdev.environments import TOOLS, EnvironmentFailed, ensure

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def hadolint() -> Path:
    try:
        ensure((TOOLS,))
    except (EnvironmentFailed, OSError) as problem:
        warnings.warn(f"the Dockerfile is not judged by hadolint: {problem}", stacklevel=1)
        pytest.skip(str(problem))
    return TOOLS.directory / "bin" / "hadolint"


def _judged(hadolint: Path, text: str) -> list[str]:
    ran = subprocess.run(
        [hadolint, "--no-color", "-f", "json", "-"], input=text, capture_output=True, text=True, check=False
    )
    return [found["code"] for found in json.loads(ran.stdout)]


def test_hadolint_finds_nothing(hadolint: Path) -> None:
    assert _judged(hadolint, TEXT) == []
    assert "DL3007" in _judged(hadolint, "FROM debian:latest\n")  # it does find what is wrong


def test_the_image_runs_as_nobody_and_says_how_it_is() -> None:
    made = image.image(TEXT)
    assert made.user == "65532:65532"
    assert made.entrypoint == ["python3", "-m", "container"]
    assert {made.command[0], made.healthcheck[-1]} <= set(COMMANDS)
    assert made.volumes == ["/var/lib/chronowatch"]
    assert made.stop_signal == "SIGTERM"
    assert made.labels["org.opencontainers.image.licenses"] == "MIT"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_entry_says_what_it_can_do(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    from container import __main__ as entry

    assert entry.main([option]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{command} " in shown for command in COMMANDS)


def test_aws_that_cannot_be_called_is_one_line() -> None:
    chosen = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent"}
    ran = subprocess.run(
        [sys.executable, "-m", "container", "init"], cwd=ROOT, env=chosen, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr.splitlines()) == (
        1,
        ["chronowatch: AWS cannot be called: Unable to locate credentials"],
    )


def test_every_command_is_said_at_its_top() -> None:
    from container import __main__ as entry

    assert re.findall(r"^([a-z-]+)  +\w", entry.__doc__ or "", re.MULTILINE) == list(COMMANDS)


def test_a_builder_is_sent_all_that_is_copied_and_the_configuration_in_the_image_is_one() -> None:
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [rest.split()[:-1] for name, rest in image.instructions(TEXT) if name == "COPY" and "--from" not in rest]
    assert {source.partition("/")[0] for sources in copied for source in sources} | {
        *image.LOCKS,
        "requirements-emulator.lock",
    } == set(sent)
    installed = re.findall(r"-r /build/(\S+)", TEXT)
    assert sorted(installed) == sorted([*image.LOCKS, "requirements-emulator.lock"])
    keys = re.findall(
        r"^(?:([a-z]+):|  ([a-z_]+):)", (ROOT / "container" / "chronowatch.yaml").read_text(), re.MULTILINE
    )
    section = ""
    for name, key in keys:
        section = name or section
        assert not key or key in keys_of(section)


def test_a_release_that_is_not_the_lock_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(image.ImageFailed, match="from the stage wheels, which makes /build/site"):
        image._copy(tmp_path, ["--from=wheels", "/elsewhere", "/opt"], lambda *_: None)


def test_instructions_are_those_of_the_last_stage() -> None:
    text = "ARG A=1\nFROM a AS b\nRUN x\n# no\nFROM c\nRUN y \\\n    z\nCOPY d /e\n"
    assert image.instructions(text) == [("RUN", "y z"), ("COPY", "d /e")]


@pytest.mark.parametrize("arguments", [[], ["--base", "other", "x"], ["a", "b"], ["--nope"]])
def test_the_script_says_how_it_is_used(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        image.main(arguments)
    assert ended.value.code == 2
    assert "usage: scripts/image" in capsys.readouterr().err


def test_it_never_writes_over_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert image.main([str(tmp_path)]) == 1
    assert "exists" in capsys.readouterr().err


def test_a_root_that_was_left_behind_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CALLED_FROM", str(tmp_path))
    (kept := tmp_path / "made-root").mkdir()
    (kept / "file").write_text("mine")
    assert image.main(["--base", "host", "made"]) == 1
    assert f"{kept} exists" in capsys.readouterr().err
    assert (kept / "file").read_text() == "mine"
