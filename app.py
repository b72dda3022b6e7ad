"""The Chalice application: what API Gateway and the local server call. Importing it does no I/O."""

from __future__ import annotations

from chalicelib import bootstrap
from chalicelib.api import face
from chalicelib.api.table import table

app = face.build("chronowatch", table(), bootstrap.services, bootstrap.settings)
