"""The calls of the Python client, once as functions and once as coroutines: one template makes both."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from typing import Final

from localdev.client_models import kind
from localdev.client_table import Entry, Field

# A client follows ``ticks`` with judgement, and holds leases so: those calls are written by hand.
_OTHER_NAMES: Final = {"ticks": "TickStreams"}
_BY_HAND: Final = "leases"

_HEAD: Final = '''"""The calls of the API{asynchronous}, noun by noun. Made by scripts/generate-clients: do not edit."""

from __future__ import annotations

from collections.abc import {iterator}, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from chronowatch.calling import UNSET, {base}, Unset, key_of_call, place, said

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from chronowatch import models
    from chronowatch.transport import Transport

'''


def module(entries: Sequence[Entry], *, asynchronous: bool) -> str:
    """The text of the module."""
    text = _HEAD.format(
        asynchronous=" as coroutines" if asynchronous else "",
        iterator="AsyncIterator" if asynchronous else "Iterator",
        base="AsyncCaller" if asynchronous else "Caller",
    )
    nouns = dict.fromkeys(each.noun for each in entries if each.noun != _BY_HAND)
    classes = [_class(noun, [e for e in entries if e.noun == noun], asynchronous) for noun in nouns]
    return text + "\n\n".join([*classes, _nouns(list(nouns), asynchronous)]) + "\n"


def _nouns(nouns: Sequence[str], asynchronous: bool) -> str:
    """The class that has them all, which a client is."""
    given = "transport: Transport, pool: Executor" if asynchronous else "transport: Transport"
    passed = "transport, pool" if asynchronous else "transport"
    lines = [
        f"class {'Async' if asynchronous else ''}Nouns:",
        '    """Every noun of the API."""',
        "",
        f"    def __init__(self, {given}) -> None:",
        *(f"        self.{attribute(noun)} = {class_name(noun, asynchronous)}({passed})" for noun in nouns),
    ]
    return "\n".join(lines)


def class_name(noun: str, asynchronous: bool) -> str:
    """The class of a noun."""
    plain = _OTHER_NAMES.get(noun) or "".join(word.capitalize() for word in noun.split("-"))
    return ("Async" if asynchronous else "") + plain


def attribute(noun: str) -> str:
    """What a client calls it."""
    return {"ticks": "tick_streams"}.get(noun, noun.replace("-", "_"))


def _class(noun: str, entries: Sequence[Entry], asynchronous: bool) -> str:
    base = "AsyncCaller" if asynchronous else "Caller"
    head = f'class {class_name(noun, asynchronous)}({base}):\n    """The calls of {noun}."""\n\n'
    return head + "\n\n".join(_method(each, asynchronous) for each in entries)


def _method(e: Entry, asynchronous: bool) -> str:
    name = _word(e.verb.replace("-", "_"))
    fields = [*e.path_fields, *(f for f in e.body if f.required)]
    optional = [f for f in (*e.body, *e.query) if not f.required and not (e.item and f.name == "page_token")]
    given = ["self", *(f"{_argument(e, f)}: {_kind(f)}" for f in fields)]
    extra = [f"{_word(f.name)}: {_kind(f)} | Unset = UNSET" for f in optional]
    extra += ["idempotency_key: str | None = None"] if e.keyed else []
    extra += ["if_match: str | None = None"] if e.guarded else []
    given += ["*", *extra] if extra else []
    answer = _answer(e)
    coroutine = asynchronous and e.item is None
    returns = f"{'AsyncIterator' if asynchronous else 'Iterator'}[models.{e.item}]" if e.item else answer
    about = f"{e.summary}. {e.description}".replace("..", ".").strip()
    lines = [
        f"    {'async ' if coroutine else ''}def {name}({', '.join(given)}) -> {returns}:",
        *_docstring(about + ("" if e.item is None else " Pages are fetched as they are needed.")),
        *_body(e, answer, asynchronous),
    ]
    return "\n".join(lines)


def _docstring(about: str) -> list[str]:
    lines, line = [], '        """'
    for word in about.split():
        if len(line) + len(word) + 1 > 116:
            lines.append(line)
            line = "        " + word
        else:
            line += word if line.endswith('"""') else " " + word
    return [*lines, line + '"""']


def _body(e: Entry, answer: str, asynchronous: bool) -> list[str]:
    path = f'"{e.path}"'
    if e.path_fields:
        names = ", ".join(f"{f.name}={_argument(e, f)}" for f in e.path_fields)
        path = f"place({path}, {names})"
    query = [f for f in e.query if not (e.item and f.name == "page_token")]
    arguments = [f'"{e.method}"', path]
    if e.body_list:
        arguments.append("body=items")
    elif e.has_body:
        arguments.append(f"body=said({', '.join(f'{_quoted(f)}' for f in e.body)})")
    if query:
        arguments.append(f"query=said({', '.join(f'{_quoted(f)}' for f in query)})")
    if e.item:
        # A list that is asked for by POST changes things page by page, as a bulk change by tag does.
        return [f"        return self._pages({', '.join(arguments)})"]
    arguments += ["key=key_of_call(idempotency_key)"] if e.keyed else []
    arguments += ["if_match=if_match"] if e.guarded else []
    arguments += [] if e.safe else ["safe=False"]
    call = f"self._{'text' if answer == 'str' else 'call'}({', '.join(arguments)})"
    call = f"await {call}" if asynchronous else call
    if answer == "None":
        return [f"        {call}"]
    if answer in ("str", "Any"):
        return [f"        return {call}"]
    return [f'        return cast("{answer}", {call})']


def _argument(e: Entry, f: Field) -> str:
    """The name of a parameter. One of the path that is called as a field of the body gets another."""
    doubled = f in e.path_fields and f.name in {each.name for each in e.body}
    return f"{f.name}_name" if doubled else _word(f.name)


def _quoted(f: Field) -> str:
    """``said`` takes names as they are on the wire; Python's keywords with an underscore."""
    return f"{_word(f.name)}={_word(f.name)}"


def _answer(e: Entry) -> str:
    if not e.answer:
        return "None"
    if e.is_text:
        return "str"
    schema = e.answer_schema or {}
    return kind(schema, "models.") if "$ref" in schema else "Any"


def _kind(f: Field) -> str:
    return kind(f.schema, "models.")


def _word(name: str) -> str:
    return name + "_" if keyword.iskeyword(name) or name == "self" else name
