from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.targets import cloudevent

FIELDS = {
    "execution_id": "01KB0000000000000000000000-1795252805000",
    "schedule_id": "01KB0000000000000000000000",
    "firing_unix_ms": 1795252805000,
    "attempt": 1,
    "fencing_token": 7,
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}


def test_the_object_is_that_of_the_contract():
    event = cloudevent.build(**FIELDS, hlc="1795252805000412000.0", payload_json='{"hello":"world"}')
    assert event.decode() == (
        '{"specversion":"1.0","id":"01KB0000000000000000000000-1795252805000",'
        '"source":"/chronowatch/schedules/01KB0000000000000000000000","type":"chronowatch.firings.v1",'
        '"subject":"01KB0000000000000000000000","time":"2026-11-21T09:20:05.000Z","datacontenttype":"application/json",'
        '"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","fencingtoken":7,"attempt":1,'
        '"hlc":"1795252805000412000.0","data":{"hello":"world"}}'
    )


def test_a_template_can_be_stamped_more_than_once():
    template = cloudevent.prepare(**FIELDS, payload_json="null")
    first, second = json.loads(template.render("1.0")), json.loads(template.render("1.1"))
    assert (first.pop("hlc"), second.pop("hlc")) == ("1.0", "1.1")
    assert first == second
    assert first["data"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(payload=JSON, ascii_only=st.booleans())
def test_any_payload_arrives_as_it_was(payload: object, ascii_only: bool):
    # Lone surrogates cannot be written in UTF-8 other than escaped, and JSON text from a parser never holds them raw.
    text = json.dumps(payload, ensure_ascii=True)
    if not ascii_only:
        raw = json.dumps(payload, ensure_ascii=False)
        text = raw if raw.encode("utf-8", "ignore").decode() == raw else text
    assert json.loads(cloudevent.build(**FIELDS, hlc="1.0", payload_json=text))["data"] == payload
