"""``scripts/workflow``: definitions judged, rehearsed, exported and imported on this machine, without a service."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chalicelib.adapters.workflows.cel_expressions import CelExpressions
from chalicelib.adapters.workflows.sandboxed_scripts import SandboxedScripts
from chalicelib.adapters.workflows.stage import MemoryStage
from chalicelib.api.http import yaml_text
from chalicelib.core.errors import BadRequest, FieldError, InvalidField
from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.secrets.secret_policy import EVERY, SecretPolicy
from chalicelib.core.targets import registry
from chalicelib.core.workflows import asl_export, asl_import, expression_names, input_schema, mermaid
from chalicelib.core.workflows.channels import channel_problems, target_of
from chalicelib.core.workflows.definition import FORMAT, WorkflowDefinition
from chalicelib.core.workflows.node_rules import reference_of
from chalicelib.core.workflows.parse import parse
from chalicelib.core.workflows.tried import Rehearsed, StoryEvent
from chalicelib.ports.workflow_steps import WorkflowParts
from chalicelib.usecases.workflow_tests import whole_run

BEGINS_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z: a story is the same on every day
OK, OTHERWISE, WRONG = 0, 1, 2
# Which addresses and secrets may be used is for a deployment to say.
_ANYWHERE = ("0.0.0.0/0", "::/0")
_ANY_SECRET = SecretPolicy(environment=True, header_refs=(EVERY,))
_QUIET = frozenset({"node_claimed"})


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when all is as expected, 1 when a run came to another end, 2 for what cannot be read."""
    options = _options().parse_args(arguments)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "play": _play, "check": _check, "export": _export, "import": _import,
    }  # fmt: skip
    try:
        return commands[options.command](options)
    except (InvalidField, OSError) as wrong:
        _say(wrong)
    return WRONG


def _say(wrong: InvalidField | OSError) -> None:
    said = [wrong] if isinstance(wrong, OSError) else [f"{error.field}: {error.message}" for error in wrong.errors]
    print(*said, sep="\n", file=sys.stderr)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/workflow", description="Workflows on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    play = commands.add_parser("play", help="rehearse a run in virtual time and print its story")
    play.add_argument("file", type=Path, help="the definition, YAML or JSON")
    play.add_argument("--input", default=None, help="the input of the run, as JSON")
    play.add_argument("--scenes", type=Path, help="a file with a list: input, mocks, with, begins, expect of each run")
    play.add_argument("--mocks", type=Path, help="a file with what nodes are answered")
    play.add_argument("--with", dest="others", type=Path, action="append", default=[], help="a workflow that it begins")
    play.add_argument("--begins", help="the instant at which it begins, RFC 3339 (default 2026-01-01T00:00:00Z)")
    play.add_argument("--expect", help="the state that the run must end in (default: completed)")
    play.add_argument("--json", action="store_true", help="print the end and the story as JSON")
    check = commands.add_parser("check", help="judge definitions")
    check.add_argument("file", type=Path, nargs="+")
    export = commands.add_parser("export", help="print a definition in another form")
    export.add_argument("file", type=Path)
    export.add_argument("--as", dest="form", choices=("mermaid", "asl"), required=True)
    take = commands.add_parser("import", help="print the definition that a state machine of ASL says")
    take.add_argument("file", type=Path)
    take.add_argument("--name", help="the name of the workflow (default: that of the file)")
    return parser


def read(path: Path) -> Any:
    """A file of YAML or JSON, relative to where the caller stands. Raises InvalidField, OSError."""
    text = (Path(os.environ.get("CALLED_FROM", ".")) / path).read_bytes()
    try:
        return json.loads(text if path.suffix == ".json" else yaml_text.to_json(text))
    except BadRequest as wrong:
        raise InvalidField.of(str(path), wrong.detail.replace("the body", "the file")) from None
    except ValueError as wrong:
        raise InvalidField.of(str(path), f"is not JSON: {wrong}") from None


def definition(document: Any, place: str = "") -> WorkflowDefinition:
    """A definition, judged as the service would, but for what only a deployment knows. ``place`` stands before each
    field that is wrong. Raises InvalidField."""
    try:
        return _judged(document)
    except InvalidField as wrong:
        if not place:
            raise
        raise InvalidField([FieldError(f"{place}: {e.field}", e.message) for e in wrong.errors]) from None


def _judged(document: Any) -> WorkflowDefinition:
    if not isinstance(document, Mapping):
        raise InvalidField.of("definition", "must be an object")
    made = parse({"format": FORMAT, **document})
    errors = [*expression_names.unknown_nodes(made), *_code(made), *_places(made), *_itself(made)]
    if made.input_schema is not None:
        errors += input_schema.schema_problems(made.input_schema)
    if errors:
        raise InvalidField(errors)
    return made


def rehearse(
    made: WorkflowDefinition,
    others: Sequence[WorkflowDefinition],
    given: Any,
    mocks: Mapping[str, Any],
    begins_ms: int = BEGINS_MS,
) -> Rehearsed:
    """Rehearse a run. Raises InvalidField."""
    definitions = {one.name: one for one in (made, *others)}
    return whole_run(_parts(), definitions, made.name, given, mocks, begins_ms)


def lines(played: Rehearsed) -> Iterator[str]:
    """The story: when, of which run, what."""
    for one in played.story:
        if one.event.type not in _QUIET:
            yield f"{_clock(one.event.at_ms - played.began_ms):>14}  {_told(one)}"
    state = played.state
    took = _clock((state.finished_ms or played.began_ms) - played.began_ms)
    yield f"{state.shown_status} after {took.strip()}" + (f": {state.error}" if state.error else "")
    if state.status == "completed":
        yield f"output: {_short(played.output)}"


def _places(made: WorkflowDefinition) -> Iterator[FieldError]:
    """What is wrong with targets and channels."""
    for node in made.nodes:
        place, fields = f"nodes.{node.id}", node.fields
        if node.type == "notification":
            yield from (FieldError(f"{place}.{e.field}", e.message) for e in channel_problems(fields["channel"]))
            target, where = target_of(fields["channel"]), f"{place}.channel"
        else:
            target, where = fields.get("target"), f"{place}.target"
        if target is None:
            continue
        if target.get("type") == "workflow":
            yield FieldError(f"{where}.type", "a subworkflow node begins workflows, no job")
            continue
        for error in registry.problems(target, _ANYWHERE, _ANY_SECRET):
            yield FieldError(where + error.field.removeprefix("target"), error.message)


def _itself(made: WorkflowDefinition) -> Iterator[FieldError]:
    for node in made.nodes:
        if node.type == "subworkflow" and reference_of(node.fields).partition("@")[0] == made.name:
            yield FieldError(f"nodes.{node.id}.workflow", f"it would begin itself: {made.name} -> {made.name}")
    if made.on_failure.partition("@")[0] == made.name:
        yield FieldError("on_failure", "a workflow cannot handle its own failures")


def _code(made: WorkflowDefinition) -> Iterator[FieldError]:
    parts = _parts()
    for place, language, text in expression_names.all_code(made):
        cel = language == "cel"
        problem = (
            parts.expressions.check(text, expression_names.VARIABLES) if cel else parts.scripts.check(language, text)
        )
        if problem is not None:
            yield FieldError(place, problem)


_MADE: list[WorkflowParts] = []


def _parts() -> WorkflowParts:
    if not _MADE:
        nothing: Any = None
        expressions, scripts = CelExpressions(), SandboxedScripts()
        _MADE.append(WorkflowParts(nothing, expressions, nothing, scripts, partial(MemoryStage, expressions, scripts)))
    return _MADE[0]


def _play(options: argparse.Namespace) -> int:
    made = definition(read(options.file))
    scenes = read(options.scenes) if options.scenes else [{}]
    if not isinstance(scenes, list):
        raise InvalidField.of("scenes", "must be a list of scenes")
    worst = OK
    for number, scene in enumerate(scenes):
        played = play_scene(made, scene, f"scenes[{number}]", options)
        says = {"says": scene["says"]} if "says" in scene else {}
        if options.json:
            print(json.dumps({**says, **as_json(played)}, indent=2, ensure_ascii=False))
        else:
            print("\n".join([*(f"-- {said}" for said in says.values()), *lines(played)]))
        expected = {**scene.get("expect", {}), **({"state": options.expect} if options.expect else {})}
        for problem in unmet(expected, played):
            print(f"scenes[{number}]: {problem}" if options.scenes else problem, file=sys.stderr)
            worst = OTHERWISE
    return worst


def play_scene(made: WorkflowDefinition, scene: Any, place: str, options: argparse.Namespace) -> Rehearsed:
    """One run, as a scene and the command line say. Raises InvalidField."""
    if not isinstance(scene, Mapping):
        raise InvalidField.of(place, "must be an object")
    if unknown := scene.keys() - {"input", "mocks", "with", "begins", "expect", "says"}:
        known = "input, mocks, with, begins, expect, says"
        raise InvalidField.of(f"{place}.{sorted(unknown)[0]}", f"is not a field of a scene: {known}")
    for field, kind, called in (("mocks", dict, "an object"), ("expect", dict, "an object"),
                                ("with", list, "a list of files"), ("begins", str, "text of RFC 3339")):  # fmt: skip
        if not isinstance(scene.get(field, kind()), kind):
            raise InvalidField.of(f"{place}.{field}", f"must be {called}")
    if not isinstance(scene.get("expect", {}).get("nodes", {}), Mapping):
        raise InvalidField.of(f"{place}.expect.nodes", "must be an object")
    given = _json_of("--input", options.input) if options.input is not None else scene.get("input")
    more = read(options.mocks) if options.mocks else {}
    if not isinstance(more, Mapping):
        raise InvalidField.of(str(options.mocks), "must be an object: node -> answer")
    mocks = {**scene.get("mocks", {}), **more}
    beside = [options.scenes.parent / str(name) for name in scene.get("with", [])]
    others = [definition(read(path), str(path)) for path in [*beside, *options.others]]
    begins = options.begins or scene.get("begins")
    return rehearse(made, others, given, mocks, BEGINS_MS if begins is None else _instant(begins))


def _json_of(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as wrong:
        raise InvalidField.of(option, f"is not JSON: {wrong}") from None


def _instant(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError as wrong:
        raise InvalidField.of("begins", str(wrong)) from None


def unmet(expected: Mapping[str, Any], played: Rehearsed) -> Iterator[str]:
    """What a run did not come to, though it was expected."""
    state = played.state
    if state.shown_status != (wanted := expected.get("state", "completed")):
        yield f"the run is {state.shown_status}; expected {wanted}"
    for name, status in expected.get("nodes", {}).items():
        if name not in state.nodes:
            yield f"expect.nodes.{name}: there is no such node"
        elif state.nodes[name].status != status:
            yield f"{name} is {state.nodes[name].status}; expected {status}"
    if "output" in expected and played.output != expected["output"]:
        yield f"the output is {_short(played.output)}; expected {_short(expected['output'])}"
    took_ms = (state.finished_ms or played.story[-1].event.at_ms) - played.began_ms
    if "took_ms" in expected and took_ms != expected["took_ms"]:
        yield f"it took {took_ms} ms; expected {expected['took_ms']}"
    if unknown := expected.keys() - {"state", "nodes", "output", "took_ms"}:
        yield f"expect.{sorted(unknown)[0]} is not known: state, nodes, output, took_ms"


def as_json(played: Rehearsed) -> dict[str, Any]:
    """The end and the story."""
    state = played.state
    story = [
        {
            "after_ms": one.event.at_ms - played.began_ms,
            "run": one.run_id,
            "type": one.event.type,
            **({"node": one.event.node} if one.event.node else {}),
            "data": dict(one.event.data),
        }
        for one in played.story
    ]
    nodes = {name: node.status for name, node in state.nodes.items()}
    return {
        "state": state.shown_status,
        "error": state.error or None,
        "output": played.output,
        "nodes": nodes,
        "story": story,
    }


def _check(options: argparse.Namespace) -> int:
    ended = OK
    for path in options.file:
        try:
            made = definition(read(path), str(path))
        except (InvalidField, OSError) as wrong:
            ended = WRONG
            _say(wrong)
        else:
            print(f"{path}: {made.name} {made.version}, {len(made.nodes)} nodes")
    return ended


def _export(options: argparse.Namespace) -> int:
    made = definition(read(options.file))
    text = (
        mermaid.flowchart(made) if options.form == "mermaid" else json.dumps(asl_export.state_machine(made), indent=2)
    )
    print(text.rstrip())
    return OK


def _import(options: argparse.Namespace) -> int:
    name = options.name or options.file.name.partition(".")[0]
    document = asl_import.document(read(options.file), name)
    definition(document)
    print(json.dumps(document, indent=2, ensure_ascii=False))
    return OK


def _told(one: StoryEvent) -> str:
    event, data = one.event, one.event.data
    where = "" if one.run_id == "run" else f"[{one.run_id}] "
    what = event.type.replace("_", " ") if not event.node else f"{event.node} {event.type.partition('_')[2]}"
    said = ""
    if event.type == "node_waiting" and data.get("due_ms") is not None:
        said = f"until {_clock(data['due_ms'] - event.at_ms).strip()} later"
    elif event.type == "node_waiting" and data.get("child"):
        said = f"for {data['child']}"
    elif data.get("error"):
        said = f"{data['error_type']}: {data['error']}"
    elif data.get("case"):
        said = f"chose {data['case']}"
    elif data.get("output"):
        said = _short(data["output"].get("value", data["output"]))
    elif data.get("by") or data.get("reason"):
        said = str(data.get("by") or data["reason"])
    return f"{where}{what}" + (f"  {said}" if said else "")


def _clock(ms: int) -> str:
    days, rest = divmod(ms, 86_400_000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    shown = f"{hours}:{minutes:02}:{rest / 1000:06.3f}"
    return f"{days}d {shown}" if days else shown


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:119] + "…"


if __name__ == "__main__":
    sys.exit(main())
