"""What the paths of the console's files hold."""

from __future__ import annotations

from typing import Annotated

from chalicelib.core.json_schema import formed

ConsoleReleaseName = Annotated[str, formed(pattern="^[0-9a-f]{16}$", examples=["0f3a9c5d7e1b2468"])]
ConsoleFileName = Annotated[str, formed(min_length=1, max_length=64, pattern=r"^[a-z0-9_.]+$", examples=["main.mjs"])]
