"""``CheckpointStore`` in a bucket of S3. With object lock on the bucket no object is changed or deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

from chalicelib.adapters.aws import clients
from chalicelib.core.errors import Unavailable

_DIGITS: Final = 12
_LAST: Final = 10**_DIGITS - 1
_GONE: Final = frozenset({"NoSuchKey", "404"})
_TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})


class S3Checkpoints:
    """An object a checkpoint. S3 lists by name only: names count down, so that the newest comes first."""

    def __init__(self, client: Callable[[], Any], bucket: str, stage: str) -> None:
        self._client = client
        self._bucket = bucket
        self._stage = stage

    def save(self, tenant: str, count: int, document: str) -> bool:
        """Write a document unless there is one of this count. Raises Unavailable, OutcomeUnknown."""
        s3 = self._client()
        request = {
            "Bucket": self._bucket,
            "Key": self._name(tenant, count),
            "Body": document.encode(),
            "ContentType": "application/json",
            "IfNoneMatch": "*",
            "ChecksumAlgorithm": "SHA256",  # a bucket with object lock asks for one
        }
        try:
            clients.write(lambda: s3.put_object(**request))
        except Exception as error:
            if clients.code_of(error) in _TAKEN:
                return False
            raise refused(error) from error
        return True

    def newest(self, tenant: str) -> str | None:
        """The document with the highest count; None: there is none. Raises Unavailable."""
        count = next(self._down(tenant, 1), None)
        return None if count is None else self.load(tenant, count)

    def counts(self, tenant: str) -> list[int]:
        """The counts of all documents, from the lowest. Raises Unavailable."""
        return sorted(self._down(tenant, 1000))

    def load(self, tenant: str, count: int) -> str | None:
        """A document. Raises Unavailable."""
        s3 = self._client()

        def get() -> str:
            with contextlib.closing(s3.get_object(Bucket=self._bucket, Key=self._name(tenant, count))["Body"]) as body:
                return str(body.read().decode())

        try:
            return clients.read(get)
        except Exception as error:
            if clients.code_of(error) in _GONE:
                return None
            raise refused(error) from error

    def _down(self, tenant: str, page: int) -> Iterator[int]:
        s3 = self._client()
        more: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix(tenant), "MaxKeys": page}
        while True:
            try:
                answer = clients.read(lambda: s3.list_objects_v2(**more))
            except Exception as error:
                raise refused(error) from error
            for found in answer.get("Contents", ()):
                yield _LAST - int(found["Key"].rpartition("/")[2].removesuffix(".json"))
            if not answer.get("IsTruncated"):
                return
            more["ContinuationToken"] = answer["NextContinuationToken"]

    def _name(self, tenant: str, count: int) -> str:
        return f"{self._prefix(tenant)}{_LAST - count:0{_DIGITS}d}.json"

    def _prefix(self, tenant: str) -> str:
        return f"chronowatch/{self._stage}/audit/{quote(tenant, safe='')}/"


def refused(error: Exception) -> Exception:
    """What AWS says of a bucket or a key that is not there, or not of its kind: nothing was written."""
    code = clients.code_of(error)
    return Unavailable(f"{code}: {error}") if code else error
