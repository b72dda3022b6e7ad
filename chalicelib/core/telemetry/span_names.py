"""The names of attributes, all in one place: most of OpenTelemetry's conventions for messaging are still in motion.

They are those of the release that ``SCHEMA_URL`` pins. What is ours begins with ``chronowatch.``.
"""

from __future__ import annotations

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"
SCOPE: Final = "chronowatch"

HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION: Final = "messaging.operation.type"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
FAAS_TRIGGER: Final = "faas.trigger"
EVENT_ID: Final = "cloudevents.event_id"

TENANT: Final = "chronowatch.tenant"
SCHEDULE: Final = "chronowatch.schedule_id"
EXECUTION: Final = "chronowatch.execution_id"
ATTEMPT: Final = "chronowatch.attempt"
TARGET: Final = "chronowatch.target"
OUTCOME: Final = "chronowatch.outcome"
LATENESS: Final = "chronowatch.lateness_ms"
LATE: Final = "chronowatch.late"
LINK: Final = "chronowatch.link"

CREATION: Final = "creation"  # a link to the call that made the schedule
BACKFILL: Final = "backfill"  # a link to the call that asked for what had been missed
PREVIOUS_ATTEMPT: Final = "previous_attempt"

WORK_QUEUE: Final = {MESSAGING_SYSTEM: "aws_sqs", MESSAGING_DESTINATION: "work"}
