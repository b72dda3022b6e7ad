from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from chalicelib.adapters.secrets import ed25519
from chalicelib.core.targets import webhook_signature as signature
from chalicelib.core.targets.webhook_signature import SigningKey


def never(_seed: bytes, _text: bytes) -> bytes:
    raise AssertionError("no such key is used")


def test_the_published_example_of_standard_webhooks():
    keys = signature.decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature.sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', never)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_rotated_both_keys_sign():
    old, new = b"o" * 24, b"n" * 32
    text = " ".join("whsec_" + base64.b64encode(key).decode() for key in (new, old))
    signed = signature.sign(signature.decode_secret(text), "id", 1, b"body", never)
    expected = [base64.b64encode(hmac.new(key, b"id.1.body", hashlib.sha256).digest()).decode() for key in (new, old)]
    assert signed.split(" ") == ["v1," + each for each in expected]


def test_padding_may_be_left_out():
    assert signature.decode_secret("whsec_" + base64.b64encode(b"1234").decode().rstrip("=")) == (
        SigningKey("v1", b"1234"),
    )


def test_a_receiver_verifies_an_asymmetric_signature_by_the_public_key_alone():
    private = Ed25519PrivateKey.generate()
    seed, public = private.private_bytes_raw(), private.public_key().public_bytes_raw()
    for stored in (seed, seed + public):  # libsodium writes both halves
        text = "whsk_" + base64.b64encode(stored).decode()
        signed = signature.sign(signature.decode_secret(text), "id", 1, b"body", ed25519.sign)
        scheme, _, encoded = signed.partition(",")
        assert scheme == "v1a"
        Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(encoded), b"id.1.body")


def test_of_the_values_that_live_only_the_newest_has_to_be_a_secret():
    new, old = (SigningKey("v1", letter * 24) for letter in (b"n", b"o"))
    texts = ["whsec_" + base64.b64encode(key.key).decode() for key in (new, old)]
    assert signature.decode_values(texts) == (new, old)
    assert signature.decode_values([texts[0], texts[0], "a password of before"]) == (new,)
    assert signature.decode_values([f"{texts[0]} {texts[1]}", texts[1]]) == (new, old)
    with pytest.raises(ValueError, match="whsec_"):
        signature.decode_values(["plain", texts[0]])
    with pytest.raises(ValueError, match="empty"):
        signature.decode_values([])


def test_a_key_does_not_show_itself():
    assert "1234" not in repr(SigningKey("v1", b"1234"))


@pytest.mark.parametrize(
    "text",
    ["", "  ", "c2VjcmV0", "whsec_", "whsec_***", "whsec_c2VjcmV0 plain", "WHSEC_c2VjcmV0", "whsk_c2VjcmV0", "whsk_"],
)
def test_what_is_no_secret_is_refused_without_quoting_it(text: str):
    with pytest.raises(ValueError, match="secret") as caught:
        signature.decode_secret(text)
    assert "c2Vj" not in str(caught.value)
    assert "***" not in str(caught.value)


@pytest.mark.parametrize("name", ["Authorization", "X-Tenant", "tracestate", "User-Agent"])
def test_headers_of_ones_own(name: str):
    assert signature.check_headers({name: "value \xe9"}) is None
    assert signature.check_headers({name: {"secret_ref": "ssm:/x"}}) is None


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
        ({"X-A": {"secret_ref": 5}}, "must be a string"),
        ({"X-A": {"secret_ref": "ssm:/x", "prefix": "Bearer "}}, "must be a string"),
        ({"Host": {"secret_ref": "ssm:/x"}}, "set by the service"),
        ({"X-Chrono-Depth": "0"}, "set by the service"),
        ({"X-A": "1", "x-a": "2"}, "is there twice"),
        ({"X-A": "x" * 5000}, "at most"),
        ({f"X-{number}": "x" for number in range(51)}, "at most 50"),
    ],
)
def test_headers_that_would_forge_or_split_a_request(headers: dict[str, object], problem: str):
    found = signature.check_headers(headers)
    assert found is not None
    assert problem in found
