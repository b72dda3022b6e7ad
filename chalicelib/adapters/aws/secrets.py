"""Signing secrets by reference: ``secretsmanager:NAME`` or ``ssm:NAME``, read from AWS and kept for a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from chalicelib.adapters.aws import failures
from chalicelib.core.targets.webhook_signature import decode_secret
from chalicelib.ports.target import Outcome

TTL_S = 60.0
CACHE_MAX_COUNT = 1000


class SecretUnavailable(Exception):
    """Raised when a secret cannot be read or is not one; carries the outcome of a delivery that needed it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.error)
        self.outcome = outcome


class _Kept(NamedTuple):
    keys: tuple[bytes, ...]
    until_s: float


class AwsSecrets:
    """Reads signing keys. Thread-safe; the clients are made when the first secret of their kind is wanted."""

    def __init__(
        self,
        secretsmanager: Callable[[], Any],
        ssm: Callable[[], Any],
        *,
        monotonic_s: Callable[[], float],
        ttl_s: float = TTL_S,
    ) -> None:
        self._secretsmanager = secretsmanager
        self._ssm = ssm
        self._monotonic_s = monotonic_s
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._reading: dict[str, threading.Lock] = {}

    def keys(self, secret_ref: str) -> tuple[bytes, ...]:
        """The signing keys that ``secret_ref`` names. Raises SecretUnavailable.

        While AWS cannot be reached, keys that were read before stay in use. A receiver can judge a signature with
        yesterday's key, but not a missing one.
        """
        kept = self._kept.get(secret_ref)
        if kept is not None and self._monotonic_s() < kept.until_s:
            return kept.keys
        with self._reader_lock(secret_ref):
            kept = self._kept.get(secret_ref)  # another thread may have read it while this one waited
            if kept is not None and self._monotonic_s() < kept.until_s:
                return kept.keys
            return self._refresh(secret_ref, kept)

    def _refresh(self, secret_ref: str, kept: _Kept | None) -> tuple[bytes, ...]:
        try:
            keys = self._read(secret_ref)
        except SecretUnavailable as unavailable:
            if kept is None or unavailable.outcome.permanent:
                self._kept.pop(secret_ref, None)
                raise
            keys = kept.keys
        with self._lock:
            if len(self._kept) >= CACHE_MAX_COUNT:
                self._kept.clear()
                self._reading.clear()
            self._kept[secret_ref] = _Kept(keys, self._monotonic_s() + self._ttl_s)
        return keys

    def _read(self, secret_ref: str) -> tuple[bytes, ...]:
        kind, _, name = secret_ref.partition(":")
        try:
            text = self._fetch(kind, name)
        except SecretUnavailable:
            raise
        except Exception as error:
            raise SecretUnavailable(failures.of_exception(error)) from error
        try:
            return decode_secret(text)
        except ValueError as error:
            raise SecretUnavailable(failures.failed("rejected", f"{secret_ref}: {error}", permanent=True)) from None

    def _fetch(self, kind: str, name: str) -> str:
        if kind == "secretsmanager":
            return str(self._secretsmanager().get_secret_value(SecretId=name).get("SecretString", ""))
        if kind == "ssm":
            return str(self._ssm().get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        raise SecretUnavailable(
            failures.failed("rejected", "secret_ref must be secretsmanager:NAME or ssm:NAME", permanent=True)
        )

    def _reader_lock(self, secret_ref: str) -> threading.Lock:
        with self._lock:
            return self._reading.setdefault(secret_ref, threading.Lock())
