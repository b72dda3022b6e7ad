"""Secrets of AWS: Secrets Manager with the version before the newest, and parameters of SSM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.adapters.aws import failures
from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.ports.secrets import SecretAway, SecretMissing

Client = Callable[[], Any]


class SecretsManagerStore:
    """``secretsmanager:NAME``. AWSCURRENT and AWSPREVIOUS are live: while one is rotated, each receiver has either."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        """The current value, then the one before it, where there is one."""
        current = self._get(ref, "AWSCURRENT")
        values = [str(current.get("SecretString", ""))]
        try:
            previous = self._get(ref, "AWSPREVIOUS")
        except SecretMissing:  # it was never rotated
            previous = {}
        if previous.get("SecretString") and previous.get("VersionId") != current.get("VersionId"):
            values.append(str(previous["SecretString"]))
        return tuple(values)

    def _get(self, ref: SecretRef, stage: str) -> dict[str, Any]:
        return _called(ref, lambda: self._client().get_secret_value(SecretId=ref.name, VersionStage=stage))


class ParameterStore:
    """``ssm:NAME``. Which version was before is not known there: a text may hold several secrets, parted by blanks."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        """The parameter, decrypted."""
        answer = _called(ref, lambda: self._client().get_parameter(Name=ref.name, WithDecryption=True))
        return (str(answer["Parameter"]["Value"]),)


def _called(ref: SecretRef, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return call()
    except Exception as error:
        outcome = failures.of_exception(error)
        text = f"{ref.store}:{ref.name}: {outcome.error}"
        raise (SecretMissing(text) if outcome.permanent else SecretAway(text)) from error
