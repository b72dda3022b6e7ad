"""``/llms.txt``: the service in a page, for agents."""

from __future__ import annotations

from typing import Final

LLMS_TEXT: Final = """# ChronoWatch

> A scheduler that fires to the millisecond, and says what it owed and what became of it.

A schedule has `type` and `expr`: `CRON` `0 9 * * 1-5`, `RATE` `rate:5m`, `DELAY` `delay:30s`, `ISO8601` `P1M`,
`AT` `at:2026-12-25T10:00:00Z`, `RRULE`. Its `timezone` is an IANA name. All instants are unix milliseconds.

## How to work with it

- Tools: POST /mcp (Streamable HTTP, stateless). Writes are dry runs unless `dry_run` is false.
- Do not write cron yourself: POST /api/v1/schedules:parse turns words into a schedule, or offers choices. Ask then.
- Look before you create: POST /api/v1/schedules:preview shows the runs, and what daylight saving does to them.
- Ask why: GET /api/v1/schedules/{id}:explain?at_unix_ms= says why a schedule ran or did not.
- Errors are problem+json with a stable `code`; 422 names the fields. Send `Idempotency-Key` with creating calls.

## Docs

- [API](/api/v1/openapi.json): OpenAPI 3.1, complete
- [The same as a page](/docs)
"""
