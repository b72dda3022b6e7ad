"""ChronoWatch: time, schedules, executions, leases and ticks as one serverless service."""

from __future__ import annotations

VERSION = "0.2.0"
