"""The workers of one release, driven second by second: run by path, with the tree of that release first on the path.

A line of JSON on standard input is a second: its instant, the bodies of messages that arrive in it, and whether the
minute rule fires. The answer is a line too: the messages that were queued, and the instants that were fired.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main(tree: str, endpoint: str, stage: str) -> None:
    """Until standard input ends."""
    sys.path.insert(0, tree)
    from msgspec.structs import replace

    from chalicelib.adapters.aws.clients import Clients
    from chalicelib.adapters.dynamodb.stores import open_stores
    from chalicelib.core import queue_messages
    from chalicelib.ports.work_queue import Incoming
    from chalicelib.workers import deliver, reconcile, sweep
    from tests.kit.machine import MovableClock, manual_machine
    from tests.kit.services import make_services
    from tests.kit.targets import Recorder

    class Captured:
        """A queue that says what was queued."""

        def __init__(self) -> None:
            self.sent: list[tuple[str, int]] = []

        def send(self, messages: Any) -> None:
            self.sent += [(queue_messages.encode(each.message), each.delay_s) for each in messages]

        def hide(self, handles: Any, for_s: int) -> None:
            pass

        def send_dead(self, execution_id: str, event: str, reason: str) -> None:
            raise AssertionError(f"{execution_id} is out of attempts: {reason}")

    first = json.loads(sys.stdin.readline())
    clock = MovableClock(first["at"])
    queue, target = Captured(), Recorder(clock)
    made = make_services(manual_machine(clock), open_stores(Clients("us-east-1", endpoint).factory("dynamodb"), stage))
    s = replace(made, queue=queue, targets={"log": target, "eventbridge": target})
    assert __import__("chalicelib").__file__.startswith(tree)
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        second = json.loads(line)
        clock.advance(second["at"] - clock.now_ms())
        queue.sent.clear()
        target.sent.clear()
        if second["rule"]:
            sweep.run(s)
            reconcile.run(s)
        again = deliver.run(s, [Incoming(str(n), body, 1) for n, body in enumerate(second["messages"])])
        assert not again, again
        clock.advance(999)
        fired = [(d.schedule_id, d.firing_unix_ms, d.fencing_token) for _, d in target.sent]
        print(json.dumps({"sent": queue.sent, "fired": fired}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
