"""Health as gRPC callers ask for it. It is checked while a caller asks or watches, and at no other time: each check
reads every shard.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2

from chalicelib.grpc_server.limits import HEALTH_EVERY_S

_log = logging.getLogger(__name__)
_STATUS: Final = health_pb2.HealthCheckResponse


class AskedHealth(health.HealthServicer):  # type: ignore[misc] # it has no types
    """``is_serving`` checks. All ``services`` are as healthy as the whole."""

    def __init__(self, is_serving: Callable[[], bool], services: Sequence[str], stopping: threading.Event) -> None:
        super().__init__(experimental_non_blocking=True)
        self._is_serving = is_serving
        self._services = services
        self._stopping = stopping
        self._checking = threading.Lock()
        self._fresh = threading.Event()
        self._watchers = 0
        self._watched = threading.Event()
        self._say(serving=False)

    def start(self) -> None:
        """Keep those informed who watch."""
        threading.Thread(target=self._keep_informed, name="grpc-health", daemon=True).start()

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """As of now, or of the last second."""
        self._check()
        return super().Check(request, context)

    def Watch(self, request: Any, context: grpc.ServicerContext, send_response_callback: Any = None) -> Any:
        """As of now, and each change from now on."""
        with self._lock:
            self._watchers += 1
            self._watched.set()
        if not context.add_callback(self._leave):
            self._leave()  # it has ended already
        self._check()
        return super().Watch(request, context, send_response_callback)

    def _leave(self) -> None:
        with self._lock:
            self._watchers -= 1
            if not self._watchers:
                self._watched.clear()

    def _keep_informed(self) -> None:
        while not self._stopping.is_set():
            if self._watched.wait(HEALTH_EVERY_S):
                self._check()
                self._stopping.wait(HEALTH_EVERY_S)

    def _check(self) -> None:
        # Where a check takes long, callers that come meanwhile get what the one before found.
        if not self._checking.acquire(timeout=HEALTH_EVERY_S):
            return
        try:
            if self._fresh.is_set():
                return
            try:
                self._say(self._is_serving())
            except Exception as problem:
                _log.error("health could not be asked for: %s", type(problem).__qualname__)
                self._say(serving=False)
            self._fresh.set()
            ageing = threading.Timer(HEALTH_EVERY_S, self._fresh.clear)
            ageing.daemon = True
            ageing.start()
        finally:
            self._checking.release()

    def _say(self, serving: bool) -> None:
        for name in ("", *self._services):
            self.set(name, _STATUS.SERVING if serving else _STATUS.NOT_SERVING)
