"""``ChangeService.Watch``: the change feed as a stream of messages, each change once and in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from msgspec.structs import replace

from chalicelib.api.http.app import HttpApi
from chalicelib.api.rpc import chronowatch_pb2
from chalicelib.api.rpc.calls import ask
from chalicelib.api.rpc.methods import RestCall, change
from chalicelib.api.rpc.paths import REST, RPC_PREFIX
from chalicelib.api.rpc.status import UNAVAILABLE, RpcError
from chalicelib.grpc_server.limits import WATCH_PAGE, WATCH_POLL_S

PATH: Final = f"{RPC_PREFIX}ChangeService/Watch"


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
    operation = api.operation(*REST[PATH])
    query = {"limit": str(WATCH_PAGE), "after": asked.after, "types": ",".join(asked.types)}
    while not watcher.gone():
        with watcher.connected():  # not around a yield: the next piece may be made on another thread
            said, _ = ask(api, operation, RestCall(query=query), watcher.headers, watcher.peer)
        if isinstance(said, RpcError):
            raise said
        for item in said["items"]:
            if watcher.gone():
                return
            yield change(item)
        operation = replace(operation, free=True)
        query = {**query, "after": said["next_after"]}
        if not said["items"] and stopping.wait(WATCH_POLL_S):
            raise RpcError(UNAVAILABLE, "this server stops: go on from your last position at another")
