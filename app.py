"""The Chalice application, with all functions that it packages. Importing it does no I/O."""

from __future__ import annotations

from chalicelib.functions import declare, deliver, feed, reconcile, sweep
from chalicelib.functions.api import app as app

for function in (deliver, sweep, reconcile, feed, declare):  # so that Chalice packages them; each runs without this module
    app.register_blueprint(function.blueprint)
