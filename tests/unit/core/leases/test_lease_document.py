"""A lease comes back from its document as it went in."""

from __future__ import annotations

import json

import pytest

from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem, Waiter

ITEM = LeaseItem(
    "t",
    "n",
    rev=7,
    fencing_token=3,
    holder_id="ä",
    subject="s",
    ttl_ms=1000,
    acquired_at_unix_ms=5,
    expires_at_unix_ms=1005,
    metadata={"host": {"ports": [1, 2.5, None]}},
    waiters=(Waiter("b", "s", 4, 2000), Waiter("c", "s", 5, 2001)),
    next_ticket=6,
    last_holder_id="b",
    last_subject="s",
    last_fencing_token=2,
)


@pytest.mark.parametrize("item", [ITEM, LeaseItem("t", "n")])
def test_there_and_back(item: LeaseItem) -> None:
    assert lease_document.read(lease_document.write(item)) == item


def test_a_newer_releases_field_is_left_out() -> None:
    stored = json.loads(lease_document.write(ITEM))
    assert lease_document.read(json.dumps({**stored, "colour": "blue"})) == ITEM


@pytest.mark.parametrize("document", ["", "[]", "{}", "null", '{"tenant":"t","waiters":[{"x":1}]}'])
def test_something_else_is_no_lease(document: str) -> None:
    with pytest.raises(ValueError, match=r"not a lease|Expecting value"):
        lease_document.read(document)
