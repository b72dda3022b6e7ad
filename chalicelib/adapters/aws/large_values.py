"""``LargeValueStore`` in a bucket of S3: an object a value, below the stage, the tenant and the run that it is of.

A write that is repeated writes the same bytes under the same name, so it may be repeated whatever became of it.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any, Final
from urllib.parse import quote

from chalicelib.adapters.aws import clients
from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.core.errors import OutcomeUnknown, Unavailable

PURGE_MAX_OBJECTS: Final = 1000  # the most that S3 deletes in one call
PART_MAX_CHARS: Final = 400
_GONE: Final = frozenset({"NoSuchKey", "404"})


class S3LargeValueStore:
    """``LargeValueStore``: the bucket may be that of several stages."""

    def __init__(self, client: ClientFactory, bucket: str, stage: str, purge_at_once: int = PURGE_MAX_OBJECTS) -> None:
        self._client = client
        self._bucket = bucket
        self._stage = stage
        self._purge_at_once = purge_at_once

    def put(self, tenant: str, run_id: str, name: str, content: bytes) -> None:
        """Keep a value. Raises Unavailable, OutcomeUnknown."""
        s3 = self._client()
        request = {
            "Bucket": self._bucket,
            "Key": f"{prefix(self._stage, tenant, run_id)}{name}",
            "Body": content,
            "ContentType": "application/json",
        }
        try:
            clients.write_idempotent(lambda: s3.put_object(**request))
        except Exception as error:
            raise _refused(error) from error

    def get(self, tenant: str, run_id: str, name: str) -> bytes | None:
        """A value that was kept; None: there is none. Raises Unavailable."""
        s3, key = self._client(), f"{prefix(self._stage, tenant, run_id)}{name}"

        def read() -> bytes:
            with contextlib.closing(s3.get_object(Bucket=self._bucket, Key=key)["Body"]) as body:
                return bytes(body.read())

        try:
            return clients.read(read)
        except Exception as error:
            if clients.code_of(error) in _GONE:
                return None
            raise _refused(error) from error

    def purge(self, tenant: str, run_id: str) -> bool:
        """Delete as many objects of a run as one call takes. Raises Unavailable, OutcomeUnknown."""
        s3 = self._client()
        request = {
            "Bucket": self._bucket,
            "Prefix": prefix(self._stage, tenant, run_id),
            "MaxKeys": self._purge_at_once,
        }
        try:
            found: Any = clients.read(lambda: s3.list_objects_v2(**request))
            names = [{"Key": each["Key"]} for each in found.get("Contents", ())]
            if not names:
                return True
            deleted = {"Objects": names, "Quiet": True}
            answer: Any = clients.write_idempotent(lambda: s3.delete_objects(Bucket=self._bucket, Delete=deleted))
        except Exception as error:
            raise _refused(error) from error
        if failed := answer.get("Errors"):
            raise Unavailable(f"{failed[0].get('Code')}: {failed[0].get('Key')} was not deleted")
        return False


def prefix(stage: str, tenant: str, run_id: str) -> str:
    """Under which all values of a run lie."""
    return f"chronowatch/{stage}/runs/{_part(tenant)}/{_part(run_id)}/"


def _part(name: str) -> str:
    """A part of a key. Runs of items within items have long ids, and S3 takes keys of up to 1,024 bytes."""
    part = quote(name, safe="")
    return part if len(part) <= PART_MAX_CHARS else f"sha256-{hashlib.sha256(name.encode()).hexdigest()}"


def _refused(error: Exception) -> Exception:
    """What AWS says of a bucket that is not there, or not open to this function: nothing was written."""
    if isinstance(error, Unavailable | OutcomeUnknown):
        return error
    code = clients.code_of(error)
    return Unavailable(f"{code}: {error}") if code else error
