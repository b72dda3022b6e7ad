"""Whose certificates are trusted."""

from __future__ import annotations

import ssl


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """A new context that checks certificates against the system's, and against those of ``ca_file`` beside them."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
