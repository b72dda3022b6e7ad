"""What the emulator does anew for every call and need not: parsing texts that it has parsed before, copying slowly.

It serves everything on one thread. A batch of 25 statements took it seven milliseconds, and every call that came
meanwhile waited. Most of that went into parsing the same few texts, twice each.

Runs in the emulator's own environment, beside ``ministack_extended``, which loads it by path.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

TEXTS_MAX = 1024  # texts that are remembered; others are parsed anew
LOOK_S = 0.1  # how often the emulator's own loop looks for messages
WAIT_S = 0.5  # how often ours does, for messages that come by another way than a call
EXPIRE_S = 1.0  # how often messages that were kept for too long are looked for
# After how many seconds a message comes that these calls sent or hid.
COMES_AFTER = {
    "SendMessage": "DelaySeconds",
    "SendMessageBatch": "DelaySeconds",
    "ChangeMessageVisibility": "VisibilityTimeout",
    "ChangeMessageVisibilityBatch": "VisibilityTimeout",
}
SIMPLE = frozenset({"S", "N", "BOOL", "NULL"})  # kinds of a value that is put into a parsed statement as it is

Build = Callable[[list[Any]], Any]


# -- statements of PartiQL


def remember_statements(dynamodb: Any) -> None:
    """Parse each text of a statement once. Raises AttributeError when the emulator is another."""
    parse, wrong = dynamodb._parse_partiql, dynamodb._partiql_parameter_error
    truthy, evaluate, conditions = dynamodb._pq_truthy, dynamodb._pq_eval, dynamodb._pq_conditions

    @lru_cache(maxsize=TEXTS_MAX)
    def template(text: str, kinds: tuple[str, ...]) -> Build | None:
        holes = [{kind: "0" if kind == "N" else f"value {n}"} for n, kind in enumerate(kinds)]
        parsed = parse(text, holes)
        if not holes or parsed["op"] not in ("INSERT", "UPDATE"):
            return None
        del parsed["where_fn"], parsed["conditions"]  # made of the rest, below
        places = {id(hole): n for n, hole in enumerate(holes)}
        found: list[int] = []
        build = _builder(parsed, places, found)
        return build if sorted(found) == list(range(len(holes))) else None

    def parse_known(text: Any, values: Any) -> Any:
        kinds = _simple_kinds(values)
        build = template(text, kinds) if kinds is not None and isinstance(text, str) else None
        if build is None or kinds is None:
            return parse(text, values)
        for kind, value in zip(kinds, values, strict=True):
            if kind == "N" and (problem := wrong(value)):
                raise ValueError(problem)
        parsed = build(values)
        where = parsed.get("where")
        parsed["where_fn"] = None if where is None else lambda item: truthy(evaluate(where, item))
        parsed["conditions"] = conditions(where)
        return parsed

    last: list[Any] = []  # a batch parses a statement to judge it, and then to run it

    def parse_once(text: Any, values: Any) -> Any:
        if last and last[0] is values and last[1] is text:
            return last.pop()
        parsed = parse_known(text, values)
        last[:] = [values, text, parsed] if values else []
        return parsed

    dynamodb._parse_partiql = parse_once


def _simple_kinds(values: Any) -> tuple[str, ...] | None:
    """The kinds of a statement's values; None when some is not simple."""
    if not isinstance(values, list):
        return None
    kinds = tuple(next(iter(value)) if type(value) is dict and len(value) == 1 else "" for value in values)
    return kinds if SIMPLE.issuperset(kinds) else None


def _builder(node: Any, places: dict[int, int], found: list[int]) -> Build:
    """What makes ``node`` again with given values in its holes. Each hole that is met is entered in ``found``."""
    if id(node) in places:
        place = places[id(node)]
        found.append(place)
        return lambda values: values[place]
    before = len(found)
    if type(node) is dict:
        members = _varying(node.items(), places, found)
        if len(found) > before:
            return lambda values: {**node, **{key: build(values) for key, build in members}}
    elif type(node) in (tuple, list):
        kind, parts = type(node), _varying(enumerate(node), places, found)

        def build_sequence(values: list[Any]) -> Any:
            made = list(node)
            for position, build in parts:
                made[position] = build(values)
            return kind(made)

        if len(found) > before:
            return build_sequence
    return lambda _: node


def _varying(parts: Iterable[tuple[Any, Any]], places: dict[int, int], found: list[int]) -> list[tuple[Any, Build]]:
    """The parts that hold a hole, with what makes each again."""
    varying = []
    for name, part in parts:
        before = len(found)
        build = _builder(part, places, found)
        if len(found) > before:
            varying.append((name, build))
    return varying


# -- expressions


def remember_expressions(dynamodb: Any) -> None:
    """Take each text of an expression apart once. Raises AttributeError when the emulator is another."""
    dynamodb._tokenize = _shared(dynamodb._tokenize)
    dynamodb._condition_syntax_error = lru_cache(maxsize=TEXTS_MAX)(dynamodb._condition_syntax_error)


def _shared(tokenize: Callable[[str], list[Any]]) -> Callable[[Any], list[Any]]:
    remembered = lru_cache(maxsize=TEXTS_MAX)(tokenize)
    return lambda text: list(remembered(text)) if isinstance(text, str) else tokenize(text)


# -- copies


def copy_quickly(dynamodb: Any) -> None:
    """Copy items by a function for what JSON is made of. Raises AttributeError when the emulator is another."""
    if dynamodb.copy is not copy:
        raise AttributeError("copy")
    dynamodb.copy = SimpleNamespace(copy=copy.copy, deepcopy=deep_copy)


def deep_copy(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """As ``copy.deepcopy``; a value that lies in two places becomes two."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is dict:
        return {key: deep_copy(member) for key, member in value.items()}
    if kind is list:
        return [deep_copy(member) for member in value]
    return copy.deepcopy(value, memo)


# -- messages


def look_once(sqs: Any) -> None:
    """Complete a message once, and not for every call that receives. Raises AttributeError when it is another."""
    complete = sqs._ensure_msg_fields

    def complete_new(message: dict[str, Any]) -> None:
        if not message.get("complete"):
            complete(message)
            message["complete"] = True

    sqs._ensure_msg_fields = complete_new


def receive_visible(sqs: Any) -> None:
    """Look once at each message of a queue for a call that receives, and not four times: thousands are held back.
    Raises AttributeError when the emulator is another."""
    collect, sweep, expire = sqs._collect_msgs, sqs._dlq_sweep, sqs._expire_retained
    expired_s: dict[int, float] = {}

    def expire_seldom(queue: dict[str, Any]) -> None:
        now_s = time.monotonic()
        if now_s - expired_s.get(id(queue), -EXPIRE_S) >= EXPIRE_S:
            expired_s[id(queue)] = now_s
            expire(queue)

    def collect_visible(queue: dict[str, Any], most: int, hidden_s: int) -> Any:
        visible = _visible(queue)
        if queue["is_fifo"] or any(message.get("receive_count") for message in visible):
            sweep(queue)  # what was received too often goes
            visible = _visible(queue)
        if queue["is_fifo"]:
            return collect(queue, most, hidden_s)
        whole, queue["messages"] = queue["messages"], visible
        try:
            return collect(queue, most, hidden_s)
        finally:
            queue["messages"] = whole

    sqs._collect_msgs, sqs._dlq_sweep, sqs._expire_retained = collect_visible, lambda queue: None, expire_seldom


def _visible(queue: dict[str, Any]) -> list[dict[str, Any]]:
    now_s = time.time()
    return [message for message in queue["messages"] if message.get("visible_at", 0.0) <= now_s]


def find_together(sqs: Any) -> None:
    """Find the messages of a batch in one go through their queue, and not in ten. Raises AttributeError and KeyError
    when the emulator is another."""
    find = sqs._get_q

    def among_those(handler: Callable[[dict[str, Any], str], Any]) -> Callable[[dict[str, Any], str], Any]:
        def handle(data: dict[str, Any], url: str) -> Any:
            queue = find(data.get("QueueUrl", url))
            named = {entry.get("ReceiptHandle") for entry in data.get("Entries", ())} - {None}
            whole = queue["messages"]
            meant = [message for message in whole if message.get("receipt_handle") in named]
            queue["messages"] = list(meant)
            try:
                return handler(data, url)
            finally:
                gone = {id(message) for message in meant} - {id(message) for message in queue["messages"]}
                queue["messages"] = [message for message in whole if id(message) not in gone] if gone else whole

        return handle

    for action in ("ChangeMessageVisibilityBatch", "DeleteMessageBatch"):
        sqs._HANDLERS[action] = among_those(sqs._HANDLERS[action])


def wake_when_sent(sqs: Any) -> None:
    """Let a call that waits for messages sleep until one comes, and not look ten times a second. Each of its wakings
    costs a third of a millisecond, and more where thousands are held back. Raises AttributeError when the emulator is
    another."""
    dispatch, waiting = sqs._dispatch, dict[asyncio.Future[None], asyncio.TimerHandle]()

    async def sleep(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        soonest_s = _next_visible_s(sqs) if seconds >= LOOK_S else seconds
        waiter = loop.create_future()
        waiting[waiter] = loop.call_later(soonest_s, _wake, waiter)
        try:
            await waiter
        finally:
            waiting.pop(waiter).cancel()

    async def dispatch_and_wake(action: str, data: dict[str, Any], *more: Any) -> Any:
        answer = await dispatch(action, data, *more)
        if (named := COMES_AFTER.get(action)) is not None:
            loop = asyncio.get_running_loop()
            at_s = loop.time() + min(int(each.get(named) or 0) for each in data.get("Entries") or (data,))
            for waiter, timer in waiting.items():
                if at_s < timer.when():
                    timer.cancel()
                    waiting[waiter] = loop.call_at(at_s, _wake, waiter)
        return answer

    sqs.asyncio = SimpleNamespace(**{**vars(sqs.asyncio), "sleep": sleep})
    sqs._dispatch = dispatch_and_wake


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _next_visible_s(sqs: Any) -> float:
    """In how many seconds a message that is hidden now may be received; WAIT_S when that is further away."""
    now_s = time.time()
    hidden = [
        at_s
        for queue in sqs._queues.values()
        for message in queue["messages"]
        if (at_s := message.get("visible_at", 0.0)) > now_s
    ]
    return float(min(WAIT_S, min(hidden, default=now_s + WAIT_S) - now_s))
