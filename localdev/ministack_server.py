"""The server that the emulator is given: its parser of HTTP is not in Python. Each call takes two thirds of the time.

A call that waits for messages ends with its caller, as on AWS. Otherwise the last call of a killed worker takes
messages, and these are lost until they come again. A call that waits for records of a stream ends with its caller too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

WAITING = frozenset(
    {
        (b"x-amz-target", b"AmazonSQS.ReceiveMessage"),
        (b"x-amz-target", b"DynamoDBStreams_20120810.GetRecords"),
    }
)


async def serve(app: Any, config: Any, leave: Callable[[], object] = bool, http: Any = "httptools") -> None:
    """Serve ``app`` with the settings that its own server gets. ``leave`` is called when it is to end. ``http`` is what
    speaks with one connection."""
    import uvicorn

    class Server(uvicorn.Server):
        """One that sleeps until it is to end, and does not look ten times a second."""

        wake: Callable[[], object] = bool

        async def main_loop(self) -> None:
            end = asyncio.Event()
            self.wake = partial(asyncio.get_running_loop().call_soon_threadsafe, end.set)
            if not self.should_exit:  # a signal may have come before
                await end.wait()

        def handle_exit(self, sig: int, frame: Any) -> None:
            super().handle_exit(sig, frame)
            leave()
            self.wake()

    host, _, port = config.bind[0].rpartition(":")
    options = uvicorn.Config(
        _ending_with_callers(app),
        host=host,
        port=int(port),
        http=http,
        lifespan="on",
        log_config=None,
        log_level=config.loglevel.lower(),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,  # the emulator writes its own
        timeout_keep_alive=int(config.keep_alive_timeout),
        timeout_graceful_shutdown=int(config.graceful_timeout),
    )
    await Server(options).serve()


def _ending_with_callers(app: Any) -> Any:
    """``app``, whose calls that wait for messages are broken off when their callers are gone."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if WAITING.isdisjoint(map(tuple, scope.get("headers", ()))):
            await app(scope, receive, send)
            return
        asked = [await receive()]
        while asked[-1].get("more_body"):
            asked.append(await receive())
        asked.reverse()

        async def again() -> Any:
            return asked.pop() if asked else await receive()

        answering = asyncio.ensure_future(app(scope, again, send))
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not answering.done():
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            return
        answering.result()

    return answer
