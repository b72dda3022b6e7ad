"""How busy this machine is with other work."""

from __future__ import annotations

import os


def others_at_work() -> float:
    """How many processes of others wait for each core: so much slower than alone everything is."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
