"""Bounds of texts that are read as schedules."""

from __future__ import annotations

TEXT_MAX_CHARS = 500
CHOICES_MAX = 12
DESCRIPTIONS_KEPT = 4_096
