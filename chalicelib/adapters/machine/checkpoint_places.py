"""Where checkpoints of the audit go, and what signs them: loaded and made when the first one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.adapters.machine.lazy import Lazy

if TYPE_CHECKING:
    from chalicelib.ports.checkpoints import CheckpointSigner, CheckpointStore


class ProofPlaces(Struct, frozen=True):
    """What a deployment chose. ``disk`` is a directory that stays (None: there is none)."""

    stage: str
    disk: str | None
    bucket: str | None
    kms_key_id: str | None


def make(
    s3: ClientFactory, kms: ClientFactory, places: ProofPlaces
) -> tuple[CheckpointStore | None, CheckpointSigner | None]:
    """The bucket, or else the disk; the key of KMS, or else a file's. None where there is neither."""

    def files() -> CheckpointStore:
        from chalicelib.adapters.audit.file_checkpoints import FileCheckpoints

        return FileCheckpoints(f"{places.disk}/audit-checkpoints/{places.stage}")

    def bucket() -> CheckpointStore:
        from chalicelib.adapters.audit.s3_checkpoints import S3Checkpoints

        return S3Checkpoints(s3, places.bucket or "", places.stage)

    def key_file() -> CheckpointSigner:
        from chalicelib.adapters.audit.file_signer import FileSigner

        return FileSigner(f"{places.disk}/audit-key")

    def kms_key() -> CheckpointSigner:
        from chalicelib.adapters.audit.kms_signer import KmsSigner

        return KmsSigner(kms, places.kms_key_id or "")

    store: Any = Lazy(bucket) if places.bucket else Lazy(files) if places.disk else None
    signer: Any = Lazy(kms_key) if places.kms_key_id else Lazy(key_file) if places.disk else None
    return store, signer
