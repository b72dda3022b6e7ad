"""Loaded into schemathesis: its check that allowed requests are taken, with the excuses of ``unsaid``."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import positive_data_acceptance

sys.path.insert(0, str(Path(__file__).parent))
import unsaid

_excused: Counter[str] = Counter()


@schemathesis.check
def allowed_requests_are_taken(ctx, response, case) -> None:  # type: ignore[no-untyped-def]
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        excuses = unsaid.excuse(response.json())
        if excuses is None:
            raise
        _excused.update({" ".join(filter(None, (each.code, each.field, each.message))) for each in excuses})


@atexit.register
def _tell() -> None:
    """Leave behind which excuses were needed, and how often."""
    path = os.environ.get("FUZZ_EXCUSED")
    if path:
        Path(path).write_text(json.dumps(_excused))
