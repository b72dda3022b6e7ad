from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from chalicelib.core.decoders import converted, decoder_of

# Two threads read a type for the first time. The first is looking at its second field, a type of its own, when the
# second thread comes: without the lock it would use what is half made, and the process would die.
TWO_THREADS = """
import sys
import threading

import msgspec

inside, second_ended = threading.Event(), threading.Event()


def kind_of_field():
    inside.set()
    second_ended.wait(float(sys.argv[2]))
    return int


class Inner(msgspec.Struct):
    number: "kind_of_field()"


class Outer(msgspec.Struct):
    inner: Inner
    names: list[str]


if sys.argv[1] == "msgspec":
    read = lambda: msgspec.json.decode(b'{"inner":{"number":7},"names":["a"]}', type=Outer)
elif sys.argv[1] == "decoder_of":
    from chalicelib.core.decoders import decoder_of

    read = lambda: decoder_of(Outer).decode(b'{"inner":{"number":7},"names":["a"]}')
else:
    from chalicelib.core.decoders import converted

    read = lambda: converted({"inner": {"number": 7}, "names": ["a"]}, Outer)
say = lambda found: sys.stdout.write(f"{found}\\n")  # in one piece: both may speak at once
first = threading.Thread(target=lambda: say(read()))
first.start()
inside.wait()
say(read())
second_ended.set()
first.join()
"""


def run(how: str, first_waits_s: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TWO_THREADS, how, str(first_waits_s)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("how", ["decoder_of", "converted"])
def test_a_type_that_two_threads_read_first_at_once_is_read_by_both(how: str) -> None:
    ran = run(how, 0.2)
    assert (ran.returncode, ran.stdout) == (0, "Outer(inner=Inner(number=7), names=['a'])\n" * 2), ran.stderr


def test_msgspec_alone_dies_of_it() -> None:
    """Once it does not, the lock can go."""
    assert run("msgspec", 30.0).returncode < 0


class Place(Struct):
    shard: int
    names: tuple[str, ...] = ()


def test_a_decoder_is_made_once_and_knows_its_type() -> None:
    assert decoder_of(Place) is decoder_of(Place)
    assert decoder_of(Place).decode(b'{"shard":3}') == Place(3)
    assert decoder_of(dict[str, int]).decode(b'{"a":1}') == {"a": 1}


@pytest.mark.parametrize(("value", "kind"), [("7", Place), ({"shard": "x"}, Place), (["a", 1], str | list[str])])
def test_what_is_of_another_type_is_refused(value: object, kind: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        converted(value, kind)


def test_texts_become_numbers_only_where_that_is_asked() -> None:
    assert converted({"shard": "3"}, Place, strict=False) == Place(3)
    with pytest.raises(msgspec.ValidationError):
        converted({"shard": "3"}, Place)
