"""Regular expressions that take time in proportion to the text, whatever the pattern: for patterns that callers write.

Python's engine tries one way after another and so needs exponential time for ``(a+)+$``. Here a pattern becomes an
automaton, whose states are made as texts need them. See Thompson, "Regular expression search algorithm", 1968. See also
Cox, "Regular expression matching can be simple and fast", 2007.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from chalicelib.core.rules.limits import PATTERN_MAX_CHARS, PATTERN_MAX_STEPS, PATTERN_STATES_KEPT
from chalicelib.core.rules.pattern_syntax import Alt, BadPattern, Begin, Chars, End, Node, PatternParser, Repeat, Seq

_MATCH, _SPLIT, _BEGIN, _END = 0, 1, 2, 3


class _Step(Struct):
    """One step of the automaton: a character to take, or what ``kind`` says; then go to ``following``."""

    kind: int = _SPLIT
    chars: Chars | None = None
    following: tuple[int, ...] = ()


class _Builder:
    """Writes the steps of a pattern, from its end to its beginning."""

    def __init__(self) -> None:
        self.steps: list[_Step] = [_Step(_MATCH)]

    def add(self, node: Node, following: int) -> int:
        """The number of the step that begins ``node`` and goes on to ``following``."""
        match node:
            case Chars():
                return self._put(_Step(chars=node, following=(following,)))
            case Begin():
                return self._put(_Step(_BEGIN, following=(following,)))
            case End():
                return self._put(_Step(_END, following=(following,)))
            case Seq():
                for part in reversed(node.parts):
                    following = self.add(part, following)
                return following
            case Alt():
                return self._put(_Step(following=tuple(self.add(option, following) for option in node.options)))
            case Repeat():
                return self._repeat(node, following)

    def _repeat(self, node: Repeat, following: int) -> int:
        if node.most is None:
            loop = self._put(_Step())
            self.steps[loop].following = (self.add(node.inner, loop), following)
            following = loop
        else:
            end = following
            for _ in range(node.most - node.least):
                following = self._put(_Step(following=(self.add(node.inner, following), end)))
        for _ in range(node.least):
            following = self.add(node.inner, following)
        return following

    def _put(self, step: _Step) -> int:
        if len(self.steps) >= PATTERN_MAX_STEPS:
            raise BadPattern(f"is too large: its repetitions, written out, have more than {PATTERN_MAX_STEPS} steps")
        self.steps.append(step)
        return len(self.steps) - 1


class _State:
    """A set of steps that the automaton may be at; ``arrows`` are the states that follow, as far as texts asked."""

    __slots__ = ("accepts", "accepts_at_end", "arrows", "steps")

    def __init__(self, steps: frozenset[int], accepts: bool, accepts_at_end: bool) -> None:
        self.steps = steps
        self.accepts = accepts
        self.accepts_at_end = accepts_at_end
        self.arrows: dict[str, _State] = {}


class LinearPattern:
    """A compiled pattern. ``search`` may be called by several threads: a state that two make is made twice."""

    def __init__(self, text: str) -> None:
        """Raises BadPattern."""
        if len(text) > PATTERN_MAX_CHARS:
            raise BadPattern(f"has more than {PATTERN_MAX_CHARS} characters")
        parser, builder = PatternParser(text), _Builder()
        node = parser.read()
        self.text = text
        self._ignore_case = parser.ignore_case
        self._start = builder.add(node, 0)
        self._steps = builder.steps
        self._states: dict[frozenset[int], _State] = {}
        first = self._closure([self._start], at_begin=True)
        empty = self._closure([self._start], at_begin=True, at_end=True)
        self._first = _State(first, 0 in first, 0 in empty)

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in ``text``; ``^`` and ``$`` are its two ends."""
        state = self._first
        for char in text:
            if state.accepts:
                return True
            found = state.arrows.get(char)
            state = self._follow(state, char) if found is None else found
        return state.accepts or state.accepts_at_end

    def _follow(self, state: _State, char: str) -> _State:
        reached = [self._start]  # a match may begin anywhere
        for number in state.steps:
            step = self._steps[number]
            if step.chars is not None and self._takes(step.chars, char):
                reached += step.following
        found = self._state(self._closure(reached, at_begin=False))
        if len(state.arrows) < PATTERN_STATES_KEPT:
            state.arrows[char] = found
        return found

    def _takes(self, chars: Chars, char: str) -> bool:
        if not self._ignore_case:
            return chars.takes(char)
        plain = Chars(chars.ranges)
        return (plain.takes(char.lower()) or plain.takes(char.upper())) != chars.negated

    def _state(self, steps: frozenset[int]) -> _State:
        found = self._states.get(steps)
        if found is None:
            if len(self._states) >= PATTERN_STATES_KEPT:
                self._states = {}
                self._first.arrows = {}  # what it leads to would keep the forgotten ones
            at_end = self._closure(steps, at_begin=False, at_end=True)
            found = self._states[steps] = _State(steps, 0 in steps, 0 in at_end)
        return found

    def _closure(self, begun: Iterable[int], *, at_begin: bool, at_end: bool = False) -> frozenset[int]:
        """All steps that are reached from ``begun`` without taking a character."""
        seen: set[int] = set()
        left = list(begun)
        while left:
            number = left.pop()
            if number in seen:
                continue
            step = self._steps[number]
            seen.add(number)
            passes = step.kind == _SPLIT or (step.kind == _BEGIN and at_begin) or (step.kind == _END and at_end)
            if passes and step.chars is None:
                left += step.following
        return frozenset(seen)
