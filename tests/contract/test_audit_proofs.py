"""Checkpoints in a bucket, as the emulator gives one; and the chain under fifty writers on the real tables."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.adapters.audit.kms_signer import KmsSigner
from chalicelib.adapters.audit.s3_checkpoints import S3Checkpoints
from chalicelib.adapters.aws.clients import Clients
from chalicelib.core.errors import Unavailable
from chalicelib.ports.services import Stores
from chalicelib.process.memory import ProcessMemory
from chalicelib.usecases import audit
from chalicelib.usecases.audit import Act
from tests.kit.audits import chain
from tests.kit.callers import who
from tests.kit.services import make_services
from tests.kit.threads import run_together


@pytest.fixture
def bucket(clients: Clients) -> S3Checkpoints:
    name = f"audit-{uuid.uuid4().hex[:12]}"
    clients.get("s3").create_bucket(Bucket=name)
    return S3Checkpoints(clients.factory("s3"), name, "test")


@pytest.mark.emulator
def test_a_bucket_keeps_what_it_was_given_first(bucket: S3Checkpoints) -> None:
    assert (bucket.newest("t"), bucket.counts("t"), bucket.load("t", 1)) == (None, [], None)
    assert bucket.save("t", 5, "five é")
    assert bucket.save("t", 1000, "thousand")
    assert not bucket.save("t", 5, "another")
    assert (bucket.newest("t"), bucket.counts("t"), bucket.load("t", 5)) == ("thousand", [5, 1000], "five é")
    for other in ("t/", "T", "é", "t%2F"):
        assert bucket.counts(other) == []
        assert bucket.save(other, 7, other)
        assert bucket.newest(other) == other
    assert bucket.counts("t") == [5, 1000]


@pytest.mark.emulator
def test_a_bucket_of_more_than_one_page_is_listed_whole(bucket: S3Checkpoints) -> None:
    run_together([lambda n=n: bucket.save("t", n, "x") for n in range(1, 31)])  # type: ignore[misc]
    assert sorted(bucket._down("t", 7)) == list(range(1, 31))
    assert bucket.newest("t") == "x"


@pytest.mark.emulator
def test_a_bucket_that_is_not_there_is_an_error(clients: Clients) -> None:
    missing = S3Checkpoints(clients.factory("s3"), f"none-{uuid.uuid4().hex[:12]}", "test")
    for call in (lambda: missing.counts("t"), lambda: missing.save("t", 1, "x")):
        with pytest.raises(Unavailable, match="NoSuchBucket"):
            call()


@pytest.mark.emulator
def test_a_key_of_kms_signs_and_the_signature_is_checked_here(clients: Clients) -> None:
    made = clients.get("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    signer = KmsSigner(clients.factory("kms"), made["KeyMetadata"]["KeyId"])
    signature = signer.sign(b"text")
    assert signer.holds(b"text", signature)
    assert not signer.holds(b"text.", signature)
    with pytest.raises(Unavailable, match="NotFound"):
        KmsSigner(clients.factory("kms"), str(uuid.uuid4())).sign(b"text")


def test_fifty_writers_at_once_leave_no_gap_and_no_fork(stores: Stores, tenant: str) -> None:
    ann = who("ann", "admin", tenant=tenant)
    s = make_services(stores=stores)

    def writer(n: int) -> Callable[[], None]:
        act = Act(action="schedules:create", permission="schedules:write", resource=f"schedules/{n}")
        return lambda: audit.record(replace(s, process=ProcessMemory()), ann, act)

    run_together([writer(n) for n in range(50)])
    found = chain(s, tenant)
    assert [entry.sequence for entry in found] == list(range(1, 51))
    assert {entry.resource for entry in found} == {f"schedules/{n}" for n in range(50)}
    assert [entry.previous_sha256 for entry in found] == [None, *(entry.sha256 for entry in found[:-1])]
