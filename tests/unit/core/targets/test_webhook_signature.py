from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from chalicelib.core.targets import webhook_signature as signature


def test_the_published_example_of_standard_webhooks():
    keys = signature.decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature.sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_rotated_both_keys_sign():
    old, new = b"o" * 24, b"n" * 32
    text = " ".join("whsec_" + base64.b64encode(key).decode() for key in (new, old))
    signed = signature.sign(signature.decode_secret(text), "id", 1, b"body")
    expected = [base64.b64encode(hmac.new(key, b"id.1.body", hashlib.sha256).digest()).decode() for key in (new, old)]
    assert signed.split(" ") == ["v1," + each for each in expected]


def test_padding_may_be_left_out():
    assert signature.decode_secret("whsec_" + base64.b64encode(b"1234").decode().rstrip("=")) == (b"1234",)


@pytest.mark.parametrize(
    "text", ["", "  ", "c2VjcmV0", "whsec_", "whsec_***", "whsec_c2VjcmV0 plain", "WHSEC_c2VjcmV0"]
)
def test_what_is_no_secret_is_refused_without_quoting_it(text: str):
    with pytest.raises(ValueError, match="secret") as caught:
        signature.decode_secret(text)
    assert "c2Vj" not in str(caught.value)
    assert "***" not in str(caught.value)


@pytest.mark.parametrize("name", ["Authorization", "X-Tenant", "tracestate", "User-Agent"])
def test_headers_of_ones_own(name: str):
    assert signature.check_headers({name: "value \xe9"}) is None


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"Host": "other"}, "set by the service"),
        ({"content-TYPE": "text/plain"}, "set by the service"),
        ({"Webhook-Signature": "v1,x"}, "set by the service"),
        ({"Idempotency-Key": "x"}, "set by the service"),
        ({"Transfer-Encoding": "chunked"}, "set by the service"),
        ({"Proxy-Authorization": "x"}, "set by the service"),
        ({"X-A\r\nX-B": "x"}, "not a header name"),
        ({"": "x"}, "not a header name"),
        ({"X-A": "x\r\nX-B: y"}, "line breaks"),
        ({"X-A": "x\n"}, "line breaks"),
        ({"X-A": "\u20ac"}, "Latin-1"),
        ({"X-A": 5}, "must be a string"),
        ({"X-A": "x" * 5000}, "at most"),
        ({f"X-{number}": "x" for number in range(51)}, "at most 50"),
    ],
)
def test_headers_that_would_forge_or_split_a_request(headers: dict[str, object], problem: str):
    found = signature.check_headers(headers)
    assert found is not None
    assert problem in found
