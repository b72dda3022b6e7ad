from __future__ import annotations

import base64
import threading

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.adapters.aws.secrets import AwsSecrets, SecretUnavailable

KEY = b"k" * 24
TEXT = "whsec_" + base64.b64encode(KEY).decode()


def fault(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetSecretValue")


class SecretsManager:
    """Answers from a script, the last line for ever."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.read = 0

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        self.read += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"SecretString": answer}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def never() -> object:
    raise AssertionError("this client is not wanted")


def secrets(client: SecretsManager, clock: Clock) -> AwsSecrets:
    return AwsSecrets(lambda: client, never, monotonic_s=clock, ttl_s=60)


def test_a_secret_is_kept_for_its_time_and_then_read_again():
    client, clock = SecretsManager(TEXT, "whsec_bmV3"), Clock()
    reader = secrets(client, clock)
    assert [reader.keys("secretsmanager:hook") for _ in range(3)] == [(KEY,)] * 3
    clock.now_s = 59.9
    assert reader.keys("secretsmanager:hook") == (KEY,)
    assert client.read == 1
    clock.now_s = 60.0
    assert reader.keys("secretsmanager:hook") == (b"new",)


@pytest.mark.parametrize("error", [fault("ThrottlingException", 400), EndpointConnectionError(endpoint_url="http://x")])
def test_while_aws_is_away_the_keys_read_before_stay_in_use(error: Exception):
    client, clock = SecretsManager(TEXT, error), Clock()
    reader = secrets(client, clock)
    reader.keys("secretsmanager:hook")
    clock.now_s = 61.0
    assert reader.keys("secretsmanager:hook") == (KEY,)
    assert client.read == 2


def test_a_secret_that_was_withdrawn_is_not_used_any_longer():
    client, clock = SecretsManager(TEXT, fault("ResourceNotFoundException", 400)), Clock()
    reader = secrets(client, clock)
    reader.keys("secretsmanager:hook")
    clock.now_s = 61.0
    for _ in range(2):
        with pytest.raises(SecretUnavailable) as caught:
            reader.keys("secretsmanager:hook")
        assert caught.value.outcome.error_type == "rejected"


@pytest.mark.parametrize(
    ("answer", "error_type", "permanent"),
    [
        (fault("AccessDeniedException", 400), "rejected", True),
        (fault("ResourceNotFoundException", 400), "rejected", True),
        (fault("InternalServiceError", 500), "http_error", False),
        (fault("ThrottlingException", 400), "http_error", False),
        (EndpointConnectionError(endpoint_url="http://x"), "connection_error", False),
        ("plain text", "rejected", True),
        ("", "rejected", True),
    ],
)
def test_what_a_missing_secret_means(answer: str | Exception, error_type: str, permanent: bool):
    with pytest.raises(SecretUnavailable) as caught:
        secrets(SecretsManager(answer), Clock()).keys("secretsmanager:hook")
    outcome = caught.value.outcome
    assert (outcome.kind, outcome.error_type, outcome.permanent) == ("failed", error_type, permanent)
    assert "plain text" not in (outcome.error or "")


@pytest.mark.parametrize("ref", ["vault:hook", "hook", ""])
def test_an_unknown_kind_of_reference_is_rejected(ref: str):
    with pytest.raises(SecretUnavailable, match="secretsmanager:NAME or ssm:NAME") as caught:
        AwsSecrets(never, never, monotonic_s=Clock()).keys(ref)
    assert caught.value.outcome.error_type == "rejected"


def test_a_herd_reads_a_secret_once():
    class Slow(SecretsManager):
        def get_secret_value(self, SecretId: str) -> dict[str, str]:
            reading.set()
            assert released.wait(10)
            return super().get_secret_value(SecretId)

    reading, released = threading.Event(), threading.Event()
    client = Slow(TEXT)
    reader = secrets(client, Clock())
    found: list[tuple[bytes, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(reader.keys("secretsmanager:hook"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert reading.wait(10)
    released.set()
    for thread in threads:
        thread.join()
    assert found == [(KEY,)] * 8
    assert client.read == 1
