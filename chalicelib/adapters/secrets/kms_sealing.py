"""Payloads sealed with AES-256-GCM, by a data key of KMS for each tenant.

KMS is called once an hour for a tenant's new data key, and once for each wrapped key that is read. The library and the
client are loaded by the first text that is sealed or opened.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from chalicelib.adapters.aws import clients
from chalicelib.core.errors import ChronoError, Unavailable
from chalicelib.core.secrets import envelope
from chalicelib.core.secrets.envelope import KEY_BYTES, NONCE_BYTES, Envelope

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_AGE_MAX_S = 3600.0  # a data key seals for as long, and is then replaced
KEY_RETRY_S = 60.0  # an old one goes on for as long while KMS is away, then KMS is asked again
KEY_USES_MAX = 1 << 24  # far below the 2**32 random nonces that AES-GCM bears
KEYS_MAX_COUNT = 2000  # in memory, of those that open
OPEN_ONLY = "open-only"  # in the place of a key: what is sealed is opened, and no more is sealed


class _DataKey(NamedTuple):
    key_id: str
    wrapped: bytes
    cipher: AESGCM


class _Sealer:
    """The data key that a tenant's texts are sealed with just now."""

    def __init__(self, key: _DataKey, since_s: float) -> None:
        self.key = key
        self.since_s = since_s
        self.uses = 0


class KmsSealing:
    """``Sealing`` by a key of KMS. Thread-safe."""

    def __init__(self, client: Callable[[], Any], key_id: str, *, monotonic_s: Callable[[], float]) -> None:
        self._client = client
        self._key_id = key_id
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._sealers: OrderedDict[str, _Sealer] = OrderedDict()
        self._openers: OrderedDict[tuple[str, bytes], AESGCM] = OrderedDict()

    def seal(self, tenant: str, place: str, text: str) -> str:
        """The envelope of ``text``. Raises Unavailable: a payload is not stored open because KMS is away."""
        if self._key_id == OPEN_ONLY:
            return text
        key = self._sealing_key(tenant)
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + key.cipher.encrypt(nonce, text.encode(), envelope.bound_to(tenant, place))
        return Envelope(key.key_id, key.wrapped, sealed).text()

    def unseal(self, tenant: str, place: str, text: str) -> str:
        """The text in an envelope; a text that is none as it is, from before sealing began. Raises Unavailable."""
        if not envelope.is_sealed(text):
            return text
        from cryptography.exceptions import InvalidTag

        try:
            found = envelope.parse(text)
            cipher = self._opening_key(tenant, found)
            nonce, sealed = found.sealed[:NONCE_BYTES], found.sealed[NONCE_BYTES:]
            return cipher.decrypt(nonce, sealed, envelope.bound_to(tenant, place)).decode()
        except (ValueError, InvalidTag):
            raise Unavailable(f"a sealed payload of {place} does not open: it was changed or moved") from None

    def _sealing_key(self, tenant: str) -> _DataKey:
        found = self._usable(tenant)
        if found is not None:
            return found
        with self._making:  # one call for all threads that want it
            found = self._usable(tenant)
            if found is not None:
                return found
            made = self._make_or_keep(tenant)
            if made is None:
                return self._sealers[tenant].key
            with self._lock:
                self._sealers[tenant] = sealer = _Sealer(made, self._monotonic_s())
                sealer.uses = 1
                _keep(self._openers, (tenant, made.wrapped), made.cipher)
                if len(self._sealers) > KEYS_MAX_COUNT:
                    self._sealers.popitem(last=False)
            return made

    def _usable(self, tenant: str) -> _DataKey | None:
        with self._lock:
            sealer = self._sealers.get(tenant)
            if sealer is None or sealer.uses >= KEY_USES_MAX or self._monotonic_s() - sealer.since_s >= KEY_AGE_MAX_S:
                return None
            sealer.uses += 1
            return sealer.key

    def _make_or_keep(self, tenant: str) -> _DataKey | None:
        """A new data key; None when KMS is away and the old one can go on for a while: outcomes must be written."""
        try:
            return self._make(tenant)
        except Unavailable:
            with self._lock:
                sealer = self._sealers.get(tenant)
                if sealer is None or sealer.uses >= KEY_USES_MAX:
                    raise
                sealer.since_s += KEY_RETRY_S
                sealer.uses += 1
                return None

    def _make(self, tenant: str) -> _DataKey:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        answer = _called(
            lambda: self._client().generate_data_key(
                KeyId=self._key_id, NumberOfBytes=KEY_BYTES, EncryptionContext=_context(tenant)
            )
        )
        return _DataKey(str(answer["KeyId"]), bytes(answer["CiphertextBlob"]), AESGCM(bytes(answer["Plaintext"])))

    def _opening_key(self, tenant: str, found: Envelope) -> AESGCM:
        with self._lock:
            cipher = self._openers.get((tenant, found.wrapped))
            if cipher is not None:
                self._openers.move_to_end((tenant, found.wrapped))
                return cipher
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        answer = _called(
            lambda: self._client().decrypt(
                CiphertextBlob=found.wrapped, KeyId=found.key_id, EncryptionContext=_context(tenant)
            )
        )
        cipher = AESGCM(bytes(answer["Plaintext"]))
        with self._lock:
            _keep(self._openers, (tenant, found.wrapped), cipher)
        return cipher


def _context(tenant: str) -> dict[str, str]:
    """What KMS binds a data key to, and writes into its audit trail."""
    return {"service": "chronowatch", "tenant": tenant}


def _keep(kept: OrderedDict[tuple[str, bytes], AESGCM], key: tuple[str, bytes], cipher: AESGCM) -> None:
    kept[key] = cipher
    if len(kept) > KEYS_MAX_COUNT:
        kept.popitem(last=False)


def _called(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return clients.read(call)
    except ChronoError as error:
        raise Unavailable(f"KMS gives no key for payloads: {error.detail}") from error
    except Exception as error:
        raise Unavailable(f"KMS gives no key for payloads: {clients.code_of(error) or type(error).__name__}") from error
