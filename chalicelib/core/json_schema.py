"""What the JSON Schema of a field states of a bound that is judged elsewhere."""

from __future__ import annotations

from msgspec import Meta


def states(**schema: object) -> Meta:
    """Keywords for the schema of a field. msgspec does not judge them: the rule that they describe does."""
    return Meta(extra_json_schema=schema)
