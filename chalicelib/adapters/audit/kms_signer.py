"""``CheckpointSigner`` by a key of KMS (ECC_NIST_P256, SIGN_VERIFY), which never leaves it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

from chalicelib.adapters.audit.s3_checkpoints import refused
from chalicelib.adapters.aws import clients
from chalicelib.core.audit.checkpoint import Signature

ALGORITHM: Final = "ecdsa-p256-sha256"
_KMS_ALGORITHM: Final = "ECDSA_SHA_256"


class KmsSigner:
    """KMS is asked for each signature, and once for the public half, by which signatures are checked here."""

    def __init__(self, client: Callable[[], Any], key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def sign(self, statement: bytes) -> Signature:
        """Raises Unavailable."""
        kms, digest = self._client(), hashlib.sha256(statement).digest()
        answer = _asked(
            lambda: kms.sign(KeyId=self._key_id, Message=digest, MessageType="DIGEST", SigningAlgorithm=_KMS_ALGORITHM)
        )
        return Signature(
            algorithm=ALGORITHM,
            key_id=str(answer["KeyId"]),
            public_key=base64.b64encode(self._public_key).decode(),
            value=base64.b64encode(answer["Signature"]).decode(),
        )

    def holds(self, statement: bytes, signature: Signature) -> bool:
        """Whether the signature is this key's, over this statement. Raises Unavailable."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        key = load_der_public_key(self._public_key)
        if signature.algorithm != ALGORITHM or not isinstance(key, EllipticCurvePublicKey):
            return False
        try:
            key.verify(base64.b64decode(signature.value, validate=True), statement, ECDSA(hashes.SHA256()))
        except (InvalidSignature, binascii.Error):
            return False
        return True

    @cached_property
    def _public_key(self) -> bytes:
        kms = self._client()
        return bytes(_asked(lambda: kms.get_public_key(KeyId=self._key_id))["PublicKey"])


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return clients.read(call)
    except Exception as error:
        raise refused(error) from error
