"""The Chalice application, with all functions that it packages. Importing it does no I/O."""

from __future__ import annotations

from chalicelib.functions import api, declare, deliver, feed, reconcile, script, subscribe, sweep, workflow

app = api.whole()
# So that Chalice packages them; each runs without this module.
for function in (deliver, sweep, reconcile, feed, declare, workflow, script, subscribe):
    app.register_blueprint(function.blueprint)
