"""The Chalice application, with all functions that it packages. Importing it does no I/O."""

from __future__ import annotations

from chalicelib.functions import deliver, feed, reconcile, sweep, workflow
from chalicelib.functions.api import app as app

for function in (deliver, sweep, reconcile, feed, workflow):  # so that Chalice packages them; each runs without this module
    app.register_blueprint(function.blueprint)
