"""Who signs checkpoints and where they are kept; and that the script without libraries agrees about signatures."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import stat
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace

from chalicelib.adapters.audit.file_checkpoints import FileCheckpoints
from chalicelib.adapters.audit.file_signer import FileSigner
from chalicelib.adapters.audit.kms_signer import KmsSigner
from chalicelib.adapters.memory.checkpoints import MemoryCheckpoints
from chalicelib.core.audit import checkpoint as checkpoints
from chalicelib.core.audit.checkpoint import Checkpoint
from chalicelib.core.errors import Unavailable
from chalicelib.ports.checkpoints import CheckpointSigner, CheckpointStore
from tests.kit.threads import run_together
from tests.tidy.sources import ROOT


class Kms:
    """The key of KMS, as its API shows it."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())

    def sign(self, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> dict[str, Any]:
        assert (MessageType, SigningAlgorithm, len(Message)) == ("DIGEST", "ECDSA_SHA_256", 32)
        value = self.key.sign(Message, ec.ECDSA(Prehashed(hashes.SHA256())))
        return {"KeyId": f"arn:aws:kms:x:1:key/{KeyId}", "Signature": value}

    def get_public_key(self, KeyId: str) -> dict[str, Any]:
        assert KeyId == "k"
        return {"PublicKey": self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)}


@pytest.fixture(params=["file", "kms"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointSigner:
    if request.param == "file":
        return FileSigner(str(tmp_path / "a" / "key"))
    kms = Kms()
    return KmsSigner(lambda: kms, "k")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The verifier, as a module."""
    found = importlib.util.spec_from_file_location("verify_audit", ROOT / "scripts" / "verify_audit.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def signed(signer: CheckpointSigner) -> Checkpoint:
    bare = Checkpoint(
        tenant="é",
        count=1,
        segment=1,
        root_sha256="0" * 64,
        peaks=("0" * 64,),
        head_sha256="1" * 64,
        hlc="1.0",
        at_unix_ms=1,
        previous_sha256=None,
    )
    return replace(bare, signature=signer.sign(checkpoints.signed_bytes(bare)))


def test_a_signature_holds_for_what_was_signed_and_nothing_else(signer: CheckpointSigner) -> None:
    signature = signer.sign(b"text")
    assert signer.holds(b"text", signature)
    assert not signer.holds(b"text.", signature)
    assert not signer.holds(b"text", replace(signature, value=base64.b64encode(b"x" * 64).decode()))
    assert not signer.holds(b"text", replace(signature, value="no base64"))
    assert not signer.holds(b"text", replace(signature, algorithm="none"))


@pytest.mark.parametrize("count", range(6))
def test_the_script_agrees(signer: CheckpointSigner, script: ModuleType, count: int) -> None:
    made = replace(signed(signer), count=count)
    made = replace(made, signature=signer.sign(checkpoints.signed_bytes(made)))
    assert made.signature is not None
    document = json.loads(checkpoints.write(made))
    assert script.signature_holds(document, made.signature.public_key)
    assert script.signature_holds(document, None)
    assert not script.signature_holds(document, "another key")
    assert not script.signature_holds({**document, "count": 99}, None)
    raw = bytearray(base64.b64decode(made.signature.value))
    raw[len(raw) // 2] ^= 1
    forged = {**document["signature"], "value": base64.b64encode(raw).decode()}
    assert not script.signature_holds({**document, "signature": forged}, None)
    for broken in ({}, {"value": 1}, {**forged, "public_key": "AAAA"}, {**forged, "value": "AA=="}):
        assert not script.signature_holds({**document, "signature": broken}, None)
    assert not script.signature_holds({**document, "signature": None}, None)


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    found: list[str] = []
    run_together([lambda: found.append(FileSigner(str(path)).sign(b"x").value) for _ in range(8)])
    assert len(set(found)) == 1
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(path.parent) == ["key"]


@pytest.mark.parametrize("text", ["", "00", "no hex"])
def test_a_broken_key_file_is_named_and_never_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(Unavailable, match="key must hold 32 bytes"):
        FileSigner(str(path)).sign(b"x")
    assert path.read_text() == text


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> CheckpointStore:
    return MemoryCheckpoints() if request.param == "memory" else FileCheckpoints(str(tmp_path / "kept"))


def test_every_sentence_of_the_store_of_checkpoints(store: CheckpointStore) -> None:
    assert (store.newest("t"), store.counts("t"), store.load("t", 1)) == (None, [], None)
    assert store.save("t", 5, "five é")
    assert store.save("t", 1000, "thousand")
    assert not store.save("t", 5, "another")
    assert (store.newest("t"), store.counts("t"), store.load("t", 5)) == ("thousand", [5, 1000], "five é")
    for other in ("..", "t/..", ".", "T", "t/", "t%2F", ""):
        assert store.counts(other) == []
        assert store.save(other, 7, other)
        assert store.load(other, 7) == other
    assert store.counts("t") == [5, 1000]


def test_of_many_that_save_one_count_one_wins(store: CheckpointStore) -> None:
    won: list[int] = []

    def save(n: int) -> None:
        if store.save("t", 1, f"{n}"):
            won.append(n)

    run_together([lambda n=n: save(n) for n in range(16)])  # type: ignore[misc]
    assert [store.load("t", 1)] == [f"{n}" for n in won]


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileCheckpoints(str(tmp_path / "file"))
    with pytest.raises(Unavailable, match="checkpoint"):
        store.save("t", 1, "x")
