"""``ChangeService.Watch``: the change feed as a stream of messages, each change once and in order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from chalice.app import CaseInsensitiveMapping
from msgspec.structs import replace

from chalicelib.api.http.app import HttpApi
from chalicelib.api.http.incoming import IncomingCall
from chalicelib.api.rpc import chronowatch_pb2
from chalicelib.api.rpc.methods import change
from chalicelib.api.rpc.status import UNAVAILABLE, RpcError, of_problem
from chalicelib.grpc_server.limits import WATCH_PAGE, WATCH_POLL_S

PATH = "/api/v1/changes"


class Watcher(NamedTuple):
    """Who watches: what it said beside its message, its address, and whether it is gone. In a block of ``connected``
    it is the caller."""

    headers: Mapping[str, str]
    peer: str | None
    gone: Callable[[], bool]
    connected: Callable[[], AbstractContextManager[None]]


def watch(
    api: HttpApi, asked: chronowatch_pb2.WatchRequest, watcher: Watcher, stopping: threading.Event
) -> Iterator[chronowatch_pb2.Change]:
    """The changes, until the watcher is gone or the server stops. Raises RpcError.

    The caller is judged at each reading, so that the stream ends with the right to it. A quota counts it once.
    """
    operation = api.operation("GET", PATH)
    query = {"limit": [str(WATCH_PAGE)], "after": [asked.after], "types": [",".join(asked.types)]}
    while not watcher.gone():
        incoming = IncomingCall(CaseInsensitiveMapping(dict(watcher.headers)), query, bytes)
        with watcher.connected():  # not around a yield: the next piece may be made on another thread
            response = api.ask(operation, {}, incoming, watcher.peer)
        said: dict[str, Any] = json.loads(response.body)
        if response.status_code >= 400:
            raise of_problem(response.status_code, said, None)
        for item in said["items"]:
            if watcher.gone():
                return
            yield change(item)
        operation = replace(operation, free=True)
        query = {**query, "after": [said["next_after"]]}
        if not said["items"] and stopping.wait(WATCH_POLL_S):
            raise RpcError(UNAVAILABLE, "this server stops: go on from your last position at another")
