"""What is kept of a target's answer: bounded, readable, without what nobody should keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.targets import target_answer
from chalicelib.core.targets.target_answer import (
    ANSWER_HEADER_MAX_CHARS,
    ANSWER_HEADERS_MAX,
    ANSWER_HEADERS_MAX_CHARS,
    BODY_EXCERPT_MAX_BYTES,
    TargetAnswer,
)


def kept(headers: dict[str, str], body: bytes = b"", *secrets: str, is_whole: bool = True) -> TargetAnswer:
    return target_answer.read(target_answer.keep(headers, body, secrets, is_whole))


def test_headers_and_body_are_kept_as_they_came() -> None:
    answer = kept({"content-type": "application/json", "retry-after": "3"}, b'{"error": "no\\n such"}\r\n\r\nmore\n')
    assert answer == TargetAnswer(
        {"content-type": "application/json", "retry-after": "3"}, '{"error": "no\\n such"}\n\nmore\n', False
    )


def test_an_empty_answer_is_one() -> None:
    assert kept({}) == TargetAnswer({}, "", False)


@pytest.mark.parametrize(
    "name",
    [
        "set-cookie", "set-cookie2", "authorization", "x-auth-token", "authentication-info", "x-api-key",
        "x-amz-security-token", "x-csrf", "proxy-authorization", "webhook-signature", "x-session-id", "X-Secret",
    ],
)  # fmt: skip
def test_headers_that_may_hold_credentials_are_left_out(name: str) -> None:
    assert kept({name: "planted", "a": "b"}).headers == {"a": "b"}


def test_a_challenge_and_a_place_without_its_query_are_kept() -> None:
    headers = {"www-authenticate": 'Bearer realm="x"', "location": "https://e.org/a?token=planted#planted"}
    assert kept(headers).headers == {"www-authenticate": 'Bearer realm="x"', "location": "https://e.org/a"}


def test_a_secret_that_comes_back_is_hidden_also_across_the_cut_and_as_json() -> None:
    secret = 'Bearer plan"ted-secret'
    body = b"x" * (BODY_EXCERPT_MAX_BYTES - 4) + b'plan"ted-secret'
    assert "plan" not in kept({}, body, secret).body
    echoed = kept({"x-echo": 'got plan"ted-secret'}, b'{"h": "Bearer plan\\"ted-secret"}', secret)
    assert echoed.body == '{"h": "[hidden]"}'
    assert echoed.headers == {"x-echo": "got [hidden]"}


def test_a_long_body_is_cut_between_letters_and_says_so() -> None:
    answer = kept({}, "é".encode() * BODY_EXCERPT_MAX_BYTES)
    assert answer == TargetAnswer({}, "é" * (BODY_EXCERPT_MAX_BYTES // 2), True)
    assert kept({}, b"x" * BODY_EXCERPT_MAX_BYTES).truncated is False
    assert kept({}, b"x", is_whole=False).truncated is True


def test_many_and_long_headers_are_cut_and_that_is_said() -> None:
    many = kept({f"h{n}": "v" for n in range(ANSWER_HEADERS_MAX + 1)})
    assert (len(many.headers), many.truncated) == (ANSWER_HEADERS_MAX, True)
    assert kept({"a": "v" * 300}) == TargetAnswer({"a": "v" * ANSWER_HEADER_MAX_CHARS}, "", True)


def test_what_is_packed_or_no_text_does_no_harm() -> None:
    assert kept({"content-encoding": "gzip"}, b"\x1f\x8b\x08") == TargetAnswer({"content-encoding": "gzip"}, "", True)
    assert kept({}, b"a\x00\x1b[31m\xff\xe2\x80\xae").body == "a\ufffd\ufffd[31m\ufffd\ufffd"
    assert kept({"content-type": "text/plain; charset=ISO-8859-1"}, b"caf\xe9").body == "café"


@given(
    st.dictionaries(st.text(st.characters(codec="latin-1"), max_size=30), st.text(max_size=400)),
    st.binary(max_size=9_000),
)
def test_whatever_comes_it_stays_within_its_bounds(headers: dict[str, str], body: bytes) -> None:
    names = {name.strip().lower().replace("\n", "").replace(":", ""): value for name, value in headers.items()}
    answer = kept({name: value for name, value in names.items() if name}, body)
    assert len(answer.body.encode()) <= BODY_EXCERPT_MAX_BYTES
    assert sum(len(name) + len(value) for name, value in answer.headers.items()) <= ANSWER_HEADERS_MAX_CHARS
    assert set(answer.headers) <= set(names)
