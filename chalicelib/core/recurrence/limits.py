"""Bounds of expressions and previews.

Names have their units last; the relations between bounds are asserted beside them.
"""

from __future__ import annotations

RATE_MIN_MS = 1000
EXPR_MAX_CHARS = 1024
PREVIEW_DEFAULT_COUNT = 10
PREVIEW_MAX_COUNT = 1000
