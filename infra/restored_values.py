"""Large values of runs that a backup holds, copied into the bucket of the stage that is filled from it.

What was deleted since the backup is still in the old bucket, as a version that is not current. Names are hashes, so a
copy that died is done again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from chalicelib.adapters.aws.large_values import prefix
from chalicelib.core.workflows.value_bucket import VARIABLE
from infra.restore_mark import RestoreFailed


class ValueSource(NamedTuple):
    """The bucket of the stage that is gone, and that stage."""

    bucket: str
    stage: str


def source(s3: Any, given: str) -> ValueSource:
    """What ``BUCKET`` or ``BUCKET/STAGE`` means. Raises RestoreFailed."""
    bucket, _, stage = given.removeprefix("s3://").strip("/").partition("/")
    try:
        found = s3.list_objects_v2(Bucket=bucket, Prefix="chronowatch/", Delimiter="/").get("CommonPrefixes", [])
    except s3.exceptions.NoSuchBucket:
        raise RestoreFailed(f"--values: there is no bucket {bucket}") from None
    stages = sorted(each["Prefix"].split("/")[1] for each in found)
    if not stage and len(stages) > 1:
        raise RestoreFailed(f"--values: say {bucket}/STAGE: it holds values of {', '.join(stages)}")
    return ValueSource(bucket, stage or (stages or ["none"])[0])


def copy(s3: Any, given: str, target: str | None, stage: str, runs: Iterable[tuple[str, str]]) -> int:
    """Copy the values of ``runs``, each a tenant and an id; how many. Raises RestoreFailed."""
    if target is None:
        raise RestoreFailed(f"--values: set {VARIABLE} to the bucket of the stage: an output of its stack names it")
    origin = source(s3, given)
    copied = 0
    for tenant, run_id in runs:
        old, new = prefix(origin.stage, tenant, run_id), prefix(stage, tenant, run_id)
        for key, version in _newest(s3, origin.bucket, old).items():
            place = {"Bucket": origin.bucket, "Key": key, **({} if version == "null" else {"VersionId": version})}
            s3.copy_object(Bucket=target, Key=f"{new}{key.removeprefix(old)}", CopySource=place)
            copied += 1
    return copied


def _newest(s3: Any, bucket: str, below: str) -> dict[str, str]:
    """The last version of each object, also of one that was deleted since."""
    found: dict[str, tuple[Any, str]] = {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=below):
        for each in page.get("Versions", ()):
            last = each["LastModified"], each["VersionId"]
            if each["Key"] not in found or last[0] > found[each["Key"]][0]:
                found[each["Key"]] = last
    return {key: version for key, (_, version) in found.items()}
