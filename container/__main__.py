"""``python -m container COMMAND``: what the image runs, one process a container.

api         serve the API until SIGTERM
grpc        serve the same calls by gRPC until SIGTERM
worker      own shards, sweep, deliver, reconcile, feed and listen until SIGTERM
listen      read the brokers and queues that triggers name, beside functions on Lambda, until SIGTERM
init        make the tables, queues and the bus where they are missing, and end
first-key   print the first admin key, once, and end
restored    settle a PostgreSQL that was restored to an earlier moment, before any worker runs, and end
resume      resume the schedules that this paused, and end
health      end with 0 when the process of this container works
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Final

from chalicelib.core.configuration import scheduled_db
from chalicelib.core.errors import ChronoError, SettingsError

Command = Callable[[], int]


def main(arguments: list[str]) -> int:
    """The exit code: 2 for a wrong setting or command, 1 when what was asked for could not be done."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    try:
        understood = scheduled_db.understand(arguments, ())
        if len(understood.rest) != 1 or understood.rest[0] not in COMMANDS:
            said = " ".join(understood.rest) or "nothing"
            raise SettingsError("COMMAND", f"must be one of {', '.join(COMMANDS)}, not {said}")
        for note in (*understood.notes, *scheduled_db.answers(os.environ)):
            print(f"chronowatch: {note}", file=sys.stderr, flush=True)
        os.environ.update(understood.values)
        return COMMANDS[understood.rest[0]]()
    except SettingsError as problem:
        print(f"chronowatch: {problem}", file=sys.stderr)
        return 2
    except (ChronoError, OSError) as problem:
        print(f"chronowatch: {problem}", file=sys.stderr)
        return 1
    except Exception as problem:
        if not type(problem).__module__.startswith("botocore."):
            raise
        print(f"chronowatch: AWS cannot be called: {problem}", file=sys.stderr)  # no credentials, no right to it
        return 1


def _api() -> int:
    from localdev import server

    _serve(server.prepare(on_terminal=False))
    return 0


def _grpc() -> int:
    from chalicelib import bootstrap
    from container import alive
    from localdev import grpc

    if bootstrap.settings().grpc_port is None:
        raise SettingsError("CHRONO_GRPC_PORT", "is off: there is nothing to serve")
    run = grpc.prepare(on_terminal=False)
    alive.start(bootstrap.settings().data_dir, ("grpc-health",))
    _serve(run)
    return 0


def _worker() -> int:
    from chalicelib import bootstrap
    from container import alive
    from localdev import worker

    run = worker.prepare(on_terminal=False)
    alive.start(bootstrap.settings().data_dir)
    _serve(run)
    return 0


def _listen() -> int:
    from chalicelib import bootstrap
    from container import alive
    from localdev import listen

    run = listen.prepare(on_terminal=False)
    alive.start(bootstrap.settings().data_dir, ("MainThread",))
    _serve(run)
    return 0


def _serve(run: Callable[[threading.Event], None]) -> None:
    """Run until SIGTERM or Ctrl-C. Threads that sleep are not waited for: what they hold was given away."""
    from localdev.processes import call_on_signals

    stopping = threading.Event()
    call_on_signals((signal.SIGTERM, signal.SIGINT), stopping.set)
    run(stopping)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _init() -> int:
    from chalicelib import bootstrap
    from chalicelib.adapters.aws.clients import Clients
    from infra import create
    from infra.state import state
    from localdev import tables

    chosen = bootstrap.settings()
    if chosen.db_dsn is not None:
        tables.bring_up_to_date(chosen)
        return 0
    clients = Clients(chosen.region, chosen.endpoint_url)
    create.create_all(
        clients.get("dynamodb"), clients.get("sqs"), clients.get("events"), state(chosen.stage, chosen.event_bus)
    )
    if chosen.value_bucket is not None:
        create.create_bucket(clients.get("s3"), chosen.value_bucket, chosen.region)
    return 0


def _first_key() -> int:
    from chalicelib import bootstrap
    from chalicelib.usecases import keys

    made = keys.first_key(bootstrap.services())
    if made is None:
        print("chronowatch: there was a first key before; make others with it", file=sys.stderr)
        return 1
    print(made.text)
    return 0


def _restored() -> int:
    from chalicelib import bootstrap
    from chalicelib.adapters.postgres.database import Place, PostgresDatabase
    from infra import restored_database
    from localdev import tables

    chosen = bootstrap.settings()
    if chosen.db_dsn is None:
        raise SettingsError("CHRONO_DB_DSN", "is not set: on AWS scripts/restore fills a stage from a backup")
    tables.bring_up_to_date(chosen)
    database = PostgresDatabase(Place.of_stage(chosen.db_dsn, chosen.stage))
    done = restored_database.settle(bootstrap.services(), database)
    ended = f"{done.executions} executions and {done.runs} runs under way"
    print(f"settled {done.schedules} schedules: paused {done.paused}; ended {ended}")
    print("check them, then start the workers, and: python -m container resume")
    return 0


def _resume() -> int:
    from chalicelib import bootstrap
    from chalicelib.engine import restored

    print(f"resumed {restored.resume(bootstrap.services())} schedules")
    return 0


def _health() -> int:
    from chalicelib import settings
    from container import alive

    problem = alive.problem(settings.from_environment())
    if problem is not None:
        print(f"chronowatch: {problem}", file=sys.stderr)
    return 0 if problem is None else 1


COMMANDS: Final[Mapping[str, Command]] = {
    "api": _api,
    "grpc": _grpc,
    "worker": _worker,
    "listen": _listen,
    "init": _init,
    "first-key": _first_key,
    "restored": _restored,
    "resume": _resume,
    "health": _health,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
