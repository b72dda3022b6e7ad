from __future__ import annotations

import base64

import pytest
from msgspec.structs import replace

from chalicelib.adapters.secrets import ed25519
from chalicelib.adapters.secrets.kept_secrets import KeptSecrets
from chalicelib.adapters.secrets.service_key import ServiceKey
from chalicelib.core.errors import Unavailable
from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.ports.secrets import SecretAway
from chalicelib.usecases.webhook_keys import published
from tests.kit.services import make_services

# The example of RFC 8037, appendix A.
SEED = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
PUBLIC = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


class Store:
    def __init__(self, *values: str) -> None:
        self.values = values

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        if not self.values:
            raise SecretAway("nobody answers")
        return self.values


def key_of(*values: str) -> ServiceKey:
    return ServiceKey(KeptSecrets({"ssm": lambda: Store(*values)}, monotonic_s=lambda: 0.0), "ssm:/own")


def test_the_example_of_rfc_8037() -> None:
    text = "whsk_" + base64.b64encode(SEED).decode()
    [key] = published(replace(make_services(), webhook_keys=key_of(text)))
    assert (key.x, key.kid) == (PUBLIC, THUMBPRINT)
    assert key.whpk == "whpk_" + base64.b64encode(ed25519.public_key(SEED)).decode()


def test_while_it_is_rotated_both_keys_are_there() -> None:
    texts = ["whsk_" + base64.b64encode(seed).decode() for seed in (b"n" * 32, SEED)]
    keys = published(replace(make_services(), webhook_keys=key_of(*texts)))
    assert [key.x == PUBLIC for key in keys] == [False, True]


def test_without_a_key_there_is_none_to_publish() -> None:
    assert published(make_services()) == []


@pytest.mark.parametrize("values", [(), ("no key",)])
def test_a_key_that_cannot_be_read_is_unavailable_and_not_quoted(values: tuple[str, ...]) -> None:
    with pytest.raises(Unavailable) as caught:
        published(replace(make_services(), webhook_keys=key_of(*values)))
    assert "no key" not in str(caught.value)
