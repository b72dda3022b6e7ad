"""What the steps of a rehearsed run are answered: by node, by attempt, and by item. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from chalicelib.core.errors import FieldError, InvalidField
from chalicelib.core.limits import DURATION_MAX_MS
from chalicelib.core.workflows.definition import WorkflowDefinition, WorkflowNode

APPROVE_AFTER_MS: Final = 1_000
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "http": ("status", "headers", "body", "error", "takes_ms"),
    "notification": ("status", "headers", "body", "error", "takes_ms"),
    "job": ("status", "error", "takes_ms", "reports"),
    "approval": ("approve", "after_ms", "by"),
    "subworkflow": ("output", "error", "takes_ms"),
}
MOCKED: Final = frozenset(_FIELDS)


class Mock(Struct, frozen=True):
    """One answer. ``reports`` is what a job that was accepted says later; ``approve`` None: no person decides."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: Any = None
    error: str = ""
    takes_ms: int = 0
    output: Any = None
    reports: Mapping[str, Any] | None = None
    approve: bool | None = True
    after_ms: int = APPROVE_AFTER_MS
    by: tuple[str, ...] = ()


DEFAULT: Final = Mock()


class Mocks:
    """The answers of a rehearsal: those of ``given``, and good ones where it says nothing."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def of(self, workflow: str, node: str, attempt: int = 1, index: int | None = None) -> Mock:
        """The answer to an attempt of a node, which may be of an item."""
        said = self._given.get(f"{workflow}/{node}", self._given.get(node, {}))
        if isinstance(said, Mapping) and "items" in said:
            one = said["items"].get(str(index)) if index is not None else None
            said = one if one is not None else {name: value for name, value in said.items() if name != "items"}
        if isinstance(said, list):
            said = said[min(attempt, len(said)) - 1]
        return _mock(said)

    def is_given(self, node: str) -> bool:
        """Whether something is said of a node."""
        return node in self._given


def problems(given: Any, definitions: Mapping[str, WorkflowDefinition], main: str) -> Iterator[FieldError]:
    """What is wrong with mocks. A node of another workflow than ``main`` is ``workflow/node``."""
    if not isinstance(given, Mapping):
        yield FieldError("mocks", "must be an object: node -> answer")
        return
    for name, said in given.items():
        workflow, _, node = name.rpartition("/")
        definition = definitions.get(workflow or main)
        known = None if definition is None else next((n for n in definition.nodes if n.id == node), None)
        if known is None:
            yield FieldError(f"mocks.{name}", "there is no such node")
        elif known.type not in MOCKED:
            yield FieldError(f"mocks.{name}", f"a {known.type} node reaches nothing outside: it runs as it is")
        else:
            yield from _of_node(f"mocks.{name}", known, said)


def check(given: Any, definitions: Mapping[str, WorkflowDefinition], main: str) -> Mocks:
    """The answers. Raises InvalidField with all that is wrong."""
    if errors := list(problems(given, definitions, main)):
        raise InvalidField(errors)
    return Mocks(given)


def _of_node(place: str, node: WorkflowNode, said: Any) -> Iterator[FieldError]:
    if isinstance(said, Mapping) and "items" in said:
        if not isinstance(said["items"], Mapping):
            yield FieldError(f"{place}.items", "must be an object: index -> answer")
            return
        for index, one in said["items"].items():
            if not str(index).isdigit():
                yield FieldError(f"{place}.items.{index}", "must be the index of an item")
            yield from _of_node(f"{place}.items.{index}", node, one)
        said = {name: value for name, value in said.items() if name != "items"}
    if isinstance(said, list) and said:
        for number, one in enumerate(said):
            yield from _answer(f"{place}[{number}]", node.type, one)
        return
    yield from _answer(place, node.type, said)


def _answer(place: str, kind: str, said: Any) -> Iterator[FieldError]:
    if not isinstance(said, Mapping):
        yield FieldError(place, "must be an answer, or a list of them: one an attempt")
        return
    for name in said.keys() - set(_FIELDS[kind]):
        yield FieldError(f"{place}.{name}", f"is not a field of this; {kind} has {', '.join(_FIELDS[kind])}")
    status = said.get("status", 200)
    if type(status) is not int or not 100 <= status <= 599:
        yield FieldError(f"{place}.status", "must be 100 to 599")
    for name in ("takes_ms", "after_ms"):
        value = said.get(name, 0)
        if type(value) is not int or not 0 <= value <= DURATION_MAX_MS:
            yield FieldError(f"{place}.{name}", f"must be 0 to {DURATION_MAX_MS}")
    if not isinstance(said.get("error", ""), str):
        yield FieldError(f"{place}.error", "must be text")
    if said.get("approve") not in (None, True, False):
        yield FieldError(f"{place}.approve", "must be true, false, or null: no person decides")
    by = said.get("by", [])
    if not isinstance(by, list) or not all(isinstance(who, str) for who in by):
        yield FieldError(f"{place}.by", "must be a list of subjects")
    headers = said.get("headers", {})
    if not isinstance(headers, Mapping) or not all(isinstance(value, str) for value in headers.values()):
        yield FieldError(f"{place}.headers", "must be an object of text")
    yield from _reports(f"{place}.reports", said.get("reports"))


def _reports(place: str, said: Any) -> Iterator[FieldError]:
    if said is None:
        return
    if not isinstance(said, Mapping):
        yield FieldError(place, 'must be {"after_ms", "output"} or {"after_ms", "error"}')
        return
    for name in said.keys() - {"after_ms", "output", "error"}:
        yield FieldError(f"{place}.{name}", "is not a field of this")
    if type(said.get("after_ms", 0)) is not int:
        yield FieldError(f"{place}.after_ms", "must be an integer")


def _mock(said: Mapping[str, Any]) -> Mock:
    fields = dict(said)
    if "by" in fields:
        fields["by"] = tuple(fields["by"])
    return Mock(**fields)
