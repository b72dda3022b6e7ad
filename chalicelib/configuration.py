"""Reads the configuration file. Its parser is loaded only where there is a file; on Lambda there is none unless named.

Every scalar is text as it is written: ``no``, ``0800`` and ``1.20`` mean what a variable of that value would mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chalicelib.core.configuration.file_values import FileVariables, Value, variables_of
from chalicelib.core.errors import SettingsError

if TYPE_CHECKING:
    from yaml import Node

CONFIG: Final = "CHRONO_CONFIG"
DEFAULT: Final = "config/chronowatch.yaml"
FILE_MAX_BYTES: Final = 256 * 1024
NOTHING: Final = FileVariables({}, {})


def chosen_file(env: Mapping[str, str]) -> Path | None:
    """The file to read: the one that is named, else the default where it exists. Named as nothing: none."""
    if CONFIG in env:
        return Path(env[CONFIG]) if env[CONFIG].strip() else None
    if env.get("AWS_LAMBDA_FUNCTION_NAME"):
        return None
    return Path(DEFAULT) if Path(DEFAULT).is_file() else None


def read(env: Mapping[str, str], known: Collection[str]) -> FileVariables:
    """What the file of this process says; nothing where there is no file. Raises SettingsError."""
    path = chosen_file(env)
    return NOTHING if path is None else variables_of(_document(path, _text(path)), known)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX_BYTES + 1)
        if len(content) > FILE_MAX_BYTES:
            raise SettingsError(CONFIG, f"{path} has more than {FILE_MAX_BYTES // 1024} KiB")
        return content.decode()
    except OSError as problem:
        raise SettingsError(CONFIG, f"{path} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(CONFIG, f"{path} is not UTF-8") from None


def _document(path: Path, text: str) -> dict[str, dict[str, Value]]:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        where = "" if mark is None else f" line {mark.line + 1}"
        raise SettingsError(CONFIG, f"{path}{where}: {problem.problem or 'is no YAML'}") from None
    except (yaml.YAMLError, RecursionError):
        raise SettingsError(CONFIG, f"{path} is no YAML") from None
    sections = {} if root is None else _mapping(path, "", root)
    return {
        name: {key: _value(path, f"{name}.{key}", value) for key, value in _mapping(path, name, section).items()}
        for name, section in sections.items()
    }


def _mapping(path: Path, place: str, node: Node) -> dict[str, Node]:
    if node.id == "scalar" and not node.value:
        return {}  # a section whose keys are all commented out
    if node.id != "mapping":
        raise SettingsError(place or CONFIG, f"must hold keys and values ({path} line {node.start_mark.line + 1})")
    found: dict[str, Node] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.id != "scalar":
            raise SettingsError(place or CONFIG, f"has a key that is no word ({path} line {line})")
        name = f"{place}.{key.value}" if place else key.value
        if key.value in found:
            raise SettingsError(name, f"is there twice ({path} line {line})")
        found[key.value] = value
    return found


def _value(path: Path, place: str, node: Node) -> Value:
    if node.id == "scalar":
        return "" if node.value in ("~", "null") and not node.style else str(node.value)
    if node.id == "sequence" and all(each.id == "scalar" for each in node.value):
        return [str(each.value) for each in node.value]
    raise SettingsError(place, f"must be a value or a list of values ({path} line {node.start_mark.line + 1})")
