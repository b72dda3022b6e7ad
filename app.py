"""The Chalice application: what API Gateway and the local server call. Importing it does no I/O."""

from __future__ import annotations

from chalicelib import bootstrap
from chalicelib.api import face
from chalicelib.api.table import table
from chalicelib.functions import deliver, feed, reconcile, sweep

app = face.build("chronowatch", table(), bootstrap.services, bootstrap.settings)
for function in (deliver, sweep, reconcile, feed):  # so that Chalice packages them; each runs without this module
    app.register_blueprint(function.blueprint)
