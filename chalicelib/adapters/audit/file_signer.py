"""``CheckpointSigner`` by an Ed25519 key in a file, for one machine. The first process makes the key."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Final

from chalicelib.adapters.secrets import ed25519
from chalicelib.core.audit.checkpoint import Signature
from chalicelib.core.errors import Unavailable

ALGORITHM: Final = "ed25519"
SEED_BYTES: Final = 32
_DER_HEAD: Final = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of RFC 8410, before the key itself


class FileSigner:
    """The seed is in the file, in hex, which its owner alone may read."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def sign(self, statement: bytes) -> Signature:
        """Raises Unavailable."""
        public = _DER_HEAD + ed25519.public_key(self._seed)
        value = ed25519.sign(self._seed, statement)
        return Signature(algorithm=ALGORITHM, key_id=self._path.name, public_key=_text(public), value=_text(value))

    def holds(self, statement: bytes, signature: Signature) -> bool:
        """Whether the signature is this key's: such a key signs a statement in one way only. Raises Unavailable."""
        return signature.algorithm == ALGORITHM and signature.value == self.sign(statement).value

    @cached_property
    def _seed(self) -> bytes:
        try:
            return self._read() or self._make()
        except OSError as error:
            raise Unavailable(f"the audit's key cannot be read or made: {error}") from error

    def _make(self) -> bytes:
        """Of several processes that make a key at once, the first keeps its own, and all use it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(dir=self._path.parent, prefix=".half-")  # readable for its owner alone
        try:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_bytes(SEED_BYTES).hex())
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(half, self._path)
        finally:
            os.unlink(half)
        found = self._read()
        assert found is not None
        return found

    def _read(self) -> bytes | None:
        try:
            seed = bytes.fromhex(self._path.read_text().strip())
        except FileNotFoundError:
            return None
        except ValueError:
            seed = b""
        if len(seed) != SEED_BYTES:
            raise Unavailable(f"the audit's key {self._path.name} must hold {SEED_BYTES} bytes in hex")
        return seed


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
