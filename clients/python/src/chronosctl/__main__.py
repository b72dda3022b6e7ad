"""``python -m chronosctl``."""

from __future__ import annotations

from chronosctl.main import run

run()
