"""What a deployment chooses about the audit, read out of its variables. Imported before anything is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from chalicelib.core import variables
from chalicelib.core.errors import SettingsError

VARIABLES: Final = ("CHRONO_AUDIT", "CHRONO_AUDIT_RETENTION", "CHRONO_AUDIT_BUCKET", "CHRONO_AUDIT_KMS_KEY_ID")
MODES: Final = ("changes", "all", "off")
RETENTION_MIN_MS: Final = 86_400_000
RETENTION_MAX_MS: Final = 3660 * 86_400_000
FOR_EVER: Final = "forever"

_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_KEY = r"[A-Za-z0-9:/_-]{1,2048}"


class AuditSettings(NamedTuple):
    """``retention_ms`` None: entries stay. ``bucket`` and ``kms_key_id`` None: files under CHRONO_DATA_DIR."""

    mode: str = "changes"
    retention_ms: int | None = None
    bucket: str | None = None
    kms_key_id: str | None = None


def load(env: Mapping[str, str]) -> AuditSettings:
    """The choices that ``env`` states. Raises SettingsError for the first that is wrong."""
    bucket, key_id = env.get("CHRONO_AUDIT_BUCKET", "").strip(), env.get("CHRONO_AUDIT_KMS_KEY_ID", "").strip()
    if bucket and re.fullmatch(_BUCKET, bucket) is None:
        raise SettingsError("CHRONO_AUDIT_BUCKET", f"must be the name of an S3 bucket, not {bucket[:80]!r}")
    if key_id and re.fullmatch(_KEY, key_id) is None:
        raise SettingsError("CHRONO_AUDIT_KMS_KEY_ID", "must be the id, ARN or alias of a KMS key (ECC_NIST_P256)")
    retention_ms = None
    if env.get("CHRONO_AUDIT_RETENTION", "").strip().lower() not in ("", FOR_EVER):
        retention_ms = variables.duration(env, "CHRONO_AUDIT_RETENTION", 0, RETENTION_MIN_MS, RETENTION_MAX_MS)
    return AuditSettings(
        mode=variables.choice(env, "CHRONO_AUDIT", MODES[0], MODES),
        retention_ms=retention_ms,
        bucket=bucket or None,
        kms_key_id=key_id or None,
    )
