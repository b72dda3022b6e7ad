"""The badge of a monitor, as SVG: no script, no style of its own, no link."""

from __future__ import annotations

from html import escape
from typing import Final

_COLOURS: Final = {"up": "#3c9a2e", "late": "#b8860b", "down": "#c0392b", "paused": "#777777", "new": "#777777"}
_CHAR_PX: Final = 7
_PAD_PX: Final = 12


def draw(name: str, state: str) -> str:
    """A badge with a name and a state."""
    left, right = len(name) * _CHAR_PX + _PAD_PX, len(state) * _CHAR_PX + _PAD_PX
    label = escape(f"{name}: {state}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{label}">',
        f"<title>{escape(name)}: {escape(state)}</title>",
        f'<rect width="{left}" height="20" fill="#444444"/>',
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLOURS[state]}"/>',
        '<g fill="#ffffff" font-family="Verdana,sans-serif" font-size="11" text-anchor="middle">',
        f'<text x="{left / 2:g}" y="14">{escape(name)}</text>',
        f'<text x="{left + right / 2:g}" y="14">{escape(state)}</text>',
        "</g></svg>",
    ]
    return "".join(parts)
