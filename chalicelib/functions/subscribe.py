"""``subscribe``: answers ``GET /api/tasks/subscribe`` for API Gateway, which passes on whole answers only.

It is a function of its own, small, and their number is bounded: an answer that is held costs as much as one that works.
Beyond the bound Lambda refuses, and the gateway says 503 with ``Retry-After``.
"""

from __future__ import annotations

from typing import Any, Final

from chalice.app import Blueprint

from chalicelib import bootstrap
from chalicelib.api.http import connection
from chalicelib.functions import api

HOLD_MS: Final = 20_000  # the gateway waits for 29 s, also while the function starts

blueprint = Blueprint(__name__)


# The route comes from infra/cloudformation.py.
@blueprint.lambda_function(name="subscribe")
def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One request of API Gateway's proxy integration."""
    with connection.holding(HOLD_MS):
        answer = api.serve(api.application_of(event), event, context)
    bootstrap.flush()
    return answer
