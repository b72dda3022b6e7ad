"""``scripts/dev``: starts the emulator, the REST server and the worker, keeps them running, and stops them in order.

Order of stopping: first the processes that write, then the emulator, which saves what they wrote.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from chalicelib import bootstrap, settings
from chalicelib.core.errors import ChronoError, SettingsError
from chalicelib.server.tls import files_of, make_context
from chalicelib.settings import Settings
from localdev import tables, worker_count
from localdev.emulator import Emulator, EmulatorFailed, answers, is_free
from localdev.postgres import PostgresFailed, PostgresServer
from localdev.processes import OWN_EMULATOR, READY_FILE, Child, PidFile, call_at_eof, call_on_signals, end_stray

if TYPE_CHECKING:
    from chalicelib.adapters.aws.clients import Clients

DEPLOYED = "--deployed"
POSTGRES = "--postgres"
UNTIL_EOF = "--until-eof"
GRPC = "grpc"
GRPC_PORT = "CHRONO_GRPC_PORT"
STOP_S = 9.5  # a stop as a whole takes less than ten seconds
SAVING_S = 3.5  # of which an emulator of our own may need so much
AFTER_DRAIN_S = 1.0  # what a worker does when its deliveries are over
RESTART_AFTER_S = 1.0
HEAL_S = 0.25  # how often the processes are checked while one is dead
LOOK_S = 30.0  # and while all live, should the system not say that one has died
READY_TIMEOUT_S = 180.0  # a machine may be busy, and a database may have to recover
ENDPOINT_TIMEOUT_S = 30.0
OWN_DSN = "postgresql://127.0.0.1/"  # of the one that is started later: nothing connects to it
DEV_LEAD_MS = 5000  # a waiting process costs nothing here, and a busy machine keeps its promises with a longer run-up


class CannotStart(Exception):
    """Raised when the start must be given up; the message is one line."""


def say(text: str) -> None:
    """One line on the terminal."""
    print(text, flush=True)


def wait_for(endpoint: str, stopping: threading.Event, timeout_s: float = ENDPOINT_TIMEOUT_S) -> None:
    """Until something answers there; says at once that nothing does yet. Raises CannotStart."""
    until, said = time.monotonic() + timeout_s, False
    while not answers(endpoint):
        if not said:
            waits = f"waiting for up to {timeout_s:.0f} s; unset, scripts/dev brings an emulator"
            print(
                f"scripts/dev: AWS_ENDPOINT_URL: nothing answers at {endpoint} yet: {waits}",
                file=sys.stderr,
                flush=True,
            )
            said = True
        if time.monotonic() > until or stopping.wait(0.2):
            raise CannotStart(f"AWS_ENDPOINT_URL: nothing answers at {endpoint}")


def child_environment(env: Mapping[str, str], chosen: Settings, endpoint: str) -> dict[str, str]:
    """What the server and the worker see: the caller's choices, and credentials that no real account accepts."""
    data_dir = str(Path(chosen.data_dir).resolve())
    if chosen.db_dsn is not None:
        lead = {"CHRONO_DELIVER_LEAD_MS": str(DEV_LEAD_MS)}
        return {**lead, **env, "CHRONO_DB_DSN": chosen.db_dsn, "CHRONO_DATA_DIR": data_dir}
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": chosen.region,
        "CHRONO_DELIVER_LEAD_MS": str(DEV_LEAD_MS),
        **env,
        "AWS_ENDPOINT_URL": endpoint,
        "CHRONO_DATA_DIR": data_dir,
    }


class Supervisor:
    """The processes of one data directory."""

    def __init__(
        self, chosen: Settings, deployed: bool, until_eof: bool, own_postgres: bool = False, workers: int = 1
    ) -> None:
        self._data = Path(chosen.data_dir).resolve()
        self._postgres = PostgresServer(self._data / "postgres") if own_postgres else None
        if self._postgres is not None:
            chosen = chosen._replace(db_dsn=self._postgres.dsn)
        self._chosen = chosen
        self._until_eof = until_eof
        self._deployed = deployed
        self._stopping = threading.Event()
        self._changed = threading.Event()  # set with the former, and when a process has died
        on_aws = chosen.db_dsn is None
        self._emulator = Emulator(self._data, chosen.emulator_port) if on_aws and not chosen.endpoint_url else None
        self._endpoint = chosen.endpoint_url or f"http://127.0.0.1:{chosen.emulator_port}"
        own = self._emulator is not None or own_postgres
        self._child_stop_s = STOP_S - SAVING_S if own else STOP_S
        self._ready_file = self._data / "run" / "server.ready"
        self._env = {
            **child_environment(settings.environment(), chosen, self._endpoint),
            "DRAIN_S": str(self._child_stop_s - AFTER_DRAIN_S),
            OWN_EMULATOR: "1" if self._emulator is not None else "",
            READY_FILE: str(self._ready_file),
        }
        self._own_pid = PidFile(self._data / "run" / "dev.pid", "localdev.supervisor")
        self._tls = chosen.tls_cert is not None
        self._first_key: str | None = None
        names = ("proxy",) if deployed else ("server", *worker_count.names(workers))
        self._children = [self._child(name) for name in names]

    def _child(self, name: str) -> Child:
        # The process that listens on CHRONO_HTTP_PORT is the server to readers of the pid files.
        pid_name = "server" if name == "proxy" else name
        pid_file = PidFile(self._data / "run" / f"{pid_name}.pid", "localdev.")
        return Child(name, f"localdev.{name.partition('-')[0]}", pid_file, self._log(name))

    def _log(self, name: str) -> Path:
        return self._data / "log" / f"{name}.log"

    def run(self) -> int:
        """Start, watch, stop. The exit code."""
        call_on_signals((signal.SIGINT, signal.SIGTERM), self._end)
        if self._until_eof:
            call_at_eof(self._end)
        try:
            self._claim_data_directory()
            self._start()
            self._greet_admin()
            self._greet()
            self._serve_grpc()
            self._watch()
        except (CannotStart, EmulatorFailed, PostgresFailed, SettingsError, ChronoError) as problem:
            if not self._stopping.is_set():
                print(f"scripts/dev: {problem}", file=sys.stderr, flush=True)
            return self._stop(1)
        except Exception as problem:  # whatever it is, nothing may be left running
            print(f"scripts/dev: {type(problem).__name__}: {str(problem)[:300]}", file=sys.stderr, flush=True)
            return self._stop(1)
        return self._stop(0)

    def _claim_data_directory(self) -> None:
        for name in ("run", "log"):
            (self._data / name).mkdir(parents=True, exist_ok=True)
        other = self._own_pid.living()
        if other is not None:
            self._own_pid = PidFile(self._data / "run" / "none.pid", "")
            self._emulator, self._postgres, self._children = None, None, []
            raise CannotStart(f"CHRONO_DATA_DIR: {self._data} is served by process {other}; stop it or set another")
        self._own_pid.write(os.getpid())
        self._ready_file.unlink(missing_ok=True)
        for name in ("server", *worker_count.names(worker_count.WORKERS_MAX), GRPC):
            end_stray(PidFile(self._data / "run" / f"{name}.pid", "localdev."))
        self._check_port()

    def _check_port(self) -> None:
        if not is_free(self._chosen.http_host, self._chosen.http_port):
            raise CannotStart(f"CHRONO_HTTP_PORT: port {self._chosen.http_port} is in use; set another")

    def _start(self) -> None:
        if self._emulator is not None:
            self._emulator.start(os.environ)
        if not self._deployed:  # what they load takes as long as the emulator's start: side by side
            for child in self._children:
                child.start(self._env)
        if self._postgres is not None:
            self._postgres.start()
        self._wait_endpoint()
        self._create_state()
        for child in self._children:
            if self._deployed:
                child.start(self._env)
            child.go()

    def _wait_endpoint(self) -> None:
        if self._chosen.db_dsn is not None:
            return
        if self._emulator is not None:
            self._emulator.wait_ready()
            return
        wait_for(self._endpoint, self._stopping)

    def _create_state(self) -> None:
        """Tables, queues and the bus; with ``--deployed`` the whole stack, from the packaged zip."""
        if self._chosen.db_dsn is not None:
            tables.bring_up_to_date(self._chosen)
            return
        if self._deployed:
            self._env["CHRONO_PROXY_TARGET"] = self._deploy()
            return
        from infra import create
        from infra.state import state

        clients = self._clients()
        resources = state(self._chosen.stage, self._chosen.event_bus)
        create.create_all(clients.get("dynamodb"), clients.get("sqs"), clients.get("events"), resources)
        bucket = settings.load(self._env).value_bucket  # as the processes see it: their environment names our emulator
        if bucket is not None:
            create.create_bucket(clients.get("s3"), bucket, self._chosen.region)

    def _deploy(self) -> str:
        from infra.package import PackageFailed
        from infra.vendor import VendorFailed
        from localdev.deployed import DeployFailed, deploy

        try:
            return deploy(self._clients(), self._data, settings.environment(), say)
        except (DeployFailed, PackageFailed, VendorFailed) as problem:
            raise CannotStart(str(problem)) from problem

    def _greet_admin(self) -> None:
        """Print the first admin key, once, where keys are asked for and none was ever made. It is kept nowhere."""
        if "apikey" not in self._chosen.auth.split(",") or self._chosen.bootstrap_key:
            return
        self._first_key = self._deployed_first_key() if self._deployed else self._make_first_key()
        if self._first_key is not None:
            say("First admin key of tenant default. It is shown this once:")
            say(f"  {self._first_key}")

    def _make_first_key(self) -> str | None:
        from chalicelib.core.errors import ChronoError
        from chalicelib.usecases import keys

        on_aws = self._chosen.db_dsn is None
        chosen = self._chosen._replace(endpoint_url=self._endpoint) if on_aws else self._chosen
        try:
            made = keys.first_key(bootstrap.build(chosen))
        except ChronoError as problem:
            raise CannotStart(f"the first admin key could not be made: {problem.detail}") from problem
        return None if made is None else made.text

    def _deployed_first_key(self) -> str | None:
        from localdev.deployed import DeployFailed, first_key

        try:
            return first_key(self._clients())
        except DeployFailed as problem:
            raise CannotStart(str(problem)) from problem

    def _clients(self) -> Clients:
        from chalicelib.adapters.aws.clients import Clients

        return Clients(self._chosen.region, self._endpoint)

    def _greet(self) -> None:
        until = time.monotonic() + READY_TIMEOUT_S
        scheme = "https" if self._tls else "http"
        base = f"{scheme}://{_url_host(self._chosen.http_host)}:{self._chosen.http_port}"
        key = self._chosen.bootstrap_key or self._first_key
        while not self._stopping.is_set() and not self._is_ready(base, key):
            if self._children[0].exit_code() is not None:
                self._check_port()  # another server may have taken it since, and would answer in its place
            self._heal()
            if time.monotonic() > until:
                raise CannotStart(f"{base}/health is not 200 after {READY_TIMEOUT_S:.0f} s: see {self._data / 'log'}")
            self._stopping.wait(0.05)
        if self._stopping.is_set():
            return
        stored = f"AWS at {self._endpoint}" if self._chosen.db_dsn is None else _said_of(self._chosen.db_dsn)
        say(f"ChronoWatch serves on {base} (GET /health, /docs), {stored}, state in {self._data}")
        if self._tls:
            return  # what callers need to get in, only they know
        for line in what_to_try(base, self._chosen.auth):
            say(line)
        say("Ctrl-C stops it.")

    def _serve_grpc(self) -> None:
        """Last, so that what it loads delays no other process. A port that was not asked for gives way to its owner."""
        host, port = self._chosen.http_host, self._chosen.grpc_port
        if port is None or self._deployed or self._stopping.is_set():
            return
        if not is_free(host, port):
            if os.environ.get(GRPC_PORT):
                raise CannotStart(f"{GRPC_PORT}: port {port} is in use; set another, or off")
            say(f"gRPC is off: port {port} is in use; set {GRPC_PORT} to another")
            return
        child = self._child(GRPC)
        self._children.append(child)
        child.start(self._env)
        child.go()
        say(f"gRPC is served on {_url_host(host)}:{port}")

    def _is_ready(self, base: str, key: str | None) -> bool:
        """By what the server notes, else another's answers count as its own. HTTP is asked too, but for TLS."""
        return self._ready_file.exists() and (self._tls or _is_ready(base, key))

    def _end(self) -> None:
        self._stopping.set()
        self._changed.set()

    def _watch(self) -> None:
        """Sleep until a process dies or the end is asked for: to ask at intervals costs a machine at rest something."""
        call_on_signals([signal.SIGCHLD], self._changed.set)
        while not self._stopping.is_set():
            self._changed.clear()
            self._heal()
            if not self._stopping.is_set():
                self._changed.wait(LOOK_S if self._is_whole() else HEAL_S)

    def _is_whole(self) -> bool:
        servers = [server for server in (self._emulator, self._postgres) if server is not None]
        return all(server.is_alive() for server in servers) and all(c.exit_code() is None for c in self._children)

    def _heal(self) -> None:
        """Start again what died."""
        if self._emulator is not None and not self._emulator.is_alive():
            say("the emulator died: starting it again with the state it last saved")
            try:
                self._emulator.start(os.environ)
                self._emulator.wait_ready()
                self._create_state()
            except EmulatorFailed as problem:
                say(f"{problem}; trying again")
                self._stopping.wait(RESTART_AFTER_S)
        if self._postgres is not None and not self._postgres.is_alive():
            say("PostgreSQL died: starting it again, with all that was committed")
            try:
                self._postgres.start()
            except PostgresFailed as problem:
                say(f"{problem}; trying again")
                self._stopping.wait(RESTART_AFTER_S)
        for child in self._children:
            if child.exit_code() is None:
                continue
            if child.died_at is None:
                child.died_at = time.monotonic()
                say(f"the {child.name} died ({child.exit_code()}): starting it again; see {self._log(child.name)}")
            elif time.monotonic() - child.died_at >= RESTART_AFTER_S:
                child.start(self._env)
                child.go()

    def _stop(self, code: int) -> int:
        until = time.monotonic() + self._child_stop_s
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(until)
        if self._emulator is not None:
            self._emulator.stop()
        if self._postgres is not None:
            self._postgres.stop()
        self._own_pid.clear()
        return code


def what_to_try(base: str, auth: str) -> list[str]:
    """First steps with a service that was just started."""
    if auth == "deny":
        return [
            "Every call is answered 401 until CHRONO_AUTH says who may call: jwt, apikey or jwt,apikey.",
            "With CHRONO_AUTH=apikey the first admin key is shown here. See docs/security.md.",
        ]
    asked = auth != "off"
    authorization = " -H 'authorization: Bearer KEY'" if asked else ""
    return [
        "Try, in another terminal, with an API key or a token as KEY:" if asked else "Try, in another terminal:",
        "  python3 examples/webhook_receiver.py &",
        f"  curl -s -XPOST {base}/api/v1/schedules{authorization} -H 'content-type: application/json' \\\n"
        """    -d '{"type":"RATE","expr":"rate:5s","name":"beat","payload":{"hello":"world"},"""
        """"target":{"type":"webhook","url":"http://127.0.0.1:9000/"}}'""",
        f"  curl -s {base}/api/v1/executions{authorization}",
    ]


def _said_of(dsn: str) -> str:
    """A DSN without its password."""
    scheme, _, rest = dsn.partition("?")[0].partition("://")
    user, at, place = rest.rpartition("@")
    return f"PostgreSQL at {scheme}://{user.partition(':')[0]}{at}{place}"


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104


def _is_ready(base: str, key: str | None) -> bool:
    """Whether schedules fire. A server that asks for credentials that are not known here is taken at its answer."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"{base}/health")  # noqa: S310
    if key is not None:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refused:
        return refused.code == 401 and key is None
    except OSError:
        return False


def main() -> int:
    """The exit code of ``scripts/dev``."""
    try:
        chosen = settings.from_environment()
        own_postgres = POSTGRES in sys.argv[1:] and chosen.db_dsn is None
        if chosen.default_target is not None:  # what describes targets says whether it is one, and is to be had here
            bootstrap.build(chosen._replace(db_dsn=OWN_DSN) if own_postgres else chosen)
        files = files_of(chosen.tls_cert, chosen.tls_key, chosen.tls_client_ca)
        if files is not None:
            make_context(files)  # what is wrong with them is said before anything is started
    except SettingsError as problem:
        print(f"scripts/dev: {problem}", file=sys.stderr)
        return 2
    workers, _ = worker_count.take(sys.argv[1:])
    return Supervisor(chosen, DEPLOYED in sys.argv[1:], UNTIL_EOF in sys.argv[1:], own_postgres, workers).run()


if __name__ == "__main__":
    sys.exit(main())
