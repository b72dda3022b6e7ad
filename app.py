"""The Chalice application: what API Gateway and the local server call. Importing it does no I/O."""

from __future__ import annotations

from chalicelib import bootstrap
from chalicelib.api.http.app import build
from chalicelib.api.http.routes import table
from chalicelib.functions import deliver, feed, reconcile, sweep

app = build("chronowatch", table(), bootstrap.services, bootstrap.settings)
for function in (deliver, sweep, reconcile, feed):  # so that Chalice packages them; each runs without this module
    app.register_blueprint(function.blueprint)
