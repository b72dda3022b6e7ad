"""The audit's variables: what each may be, and that an error names it."""

from __future__ import annotations

import pytest

from chalicelib.core.audit.audit_settings import AuditSettings, load
from chalicelib.core.errors import SettingsError

DAY_MS = 86_400_000


def test_by_default_changes_are_recorded_and_stay() -> None:
    assert load({}) == AuditSettings("changes", None, None, None)
    assert load({"CHRONO_AUDIT_RETENTION": "Forever"}).retention_ms is None


def test_what_is_given() -> None:
    key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    env = {
        "CHRONO_AUDIT": "all",
        "CHRONO_AUDIT_RETENTION": "400d",
        "CHRONO_AUDIT_BUCKET": "acme.audit-1",
        "CHRONO_AUDIT_KMS_KEY_ID": key,
    }
    assert load(env) == AuditSettings("all", 400 * DAY_MS, "acme.audit-1", key)
    assert load({"CHRONO_AUDIT_KMS_KEY_ID": "alias/audit"}).kms_key_id == "alias/audit"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHRONO_AUDIT", "yes"),
        ("CHRONO_AUDIT_RETENTION", "23h"),
        ("CHRONO_AUDIT_RETENTION", "400"),
        ("CHRONO_AUDIT_RETENTION", "never"),
        ("CHRONO_AUDIT_BUCKET", "s3://acme"),
        ("CHRONO_AUDIT_BUCKET", "Acme"),
        ("CHRONO_AUDIT_BUCKET", "a"),
        ("CHRONO_AUDIT_KMS_KEY_ID", "a key"),
    ],
)
def test_an_error_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({name: value})
