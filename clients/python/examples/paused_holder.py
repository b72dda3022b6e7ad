"""A holder that pauses at the worst moment cannot spoil what its successor wrote.

The story of M. Kleppmann's "How to do distributed locking" (2016), with two real processes and a real pause:

1. Holder 1 takes the lease (token 1), makes sure that it holds it, and is stopped by SIGSTOP right before it writes.
2. Its lease runs out. Holder 2 takes it (token 2) and writes.
3. Holder 1 goes on where it was and writes with token 1: the storage has seen 2 and refuses.

Run: python paused_holder.py [base URL of a ChronoWatch]; without one it starts a small fake. POSIX only (SIGSTOP).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from contextlib import closing
from pathlib import Path

from chronowatch import Client, StaleToken
from chronowatch.fences import SQL_TABLE, check_sql
from chronowatch.testing import FakeServer

TTL_S = 0.5


def write(storage: Path, author: str, token: int) -> None:
    """Replace the file's content, fence and write in one transaction. Raises StaleToken."""
    with closing(sqlite3.connect(storage)) as db, db:
        cursor = db.cursor()
        check_sql(cursor, "report", token)
        cursor.execute("UPDATE report SET author = ?, token = ?", (author, token))


def read(storage: Path) -> tuple[str, int]:
    """Who wrote last, and with which token."""
    with closing(sqlite3.connect(storage)) as db:
        author, token = db.execute("SELECT author, token FROM report").fetchone()
    return author, token


def holder(url: str, name: str, storage: Path) -> None:
    """Holder 1, a process of its own: takes the lease, looks, and is paused before it acts."""
    with Client(url) as client:
        lease = client.lease(name, ttl=TTL_S)
        lease.raise_if_lost()
        print(lease.fencing_token, flush=True)
        sys.stdin.readline()  # here it is stopped
        try:
            write(storage, "holder 1", lease.fencing_token)
            print("written", flush=True)
        except StaleToken as refused:
            print(f"refused: {refused}; still held by its own clock: {lease.held}", flush=True)
        lease.release()


def story(url: str, storage: Path) -> str:
    """Plays it and prints what came of holder 1's write."""
    with closing(sqlite3.connect(storage)) as db, db:
        db.execute(SQL_TABLE)
        db.execute("CREATE TABLE report (author TEXT, token INTEGER)")
        db.execute("INSERT INTO report VALUES ('nobody', 0)")
    name = f"report-{uuid.uuid4().hex[:8]}"
    command = [sys.executable, __file__, "--holder", url, name, str(storage)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        try:
            token = first.stdout.readline().strip()
            if not token:
                raise RuntimeError("holder 1 did not get the lease")
            print(f"holder 1 has the lease with token {token}, and is about to write")
            first.send_signal(signal.SIGSTOP)
            print("holder 1 is paused")
            with Client(url) as client, client.lease(name, ttl=TTL_S) as lease:
                print(f"holder 2 has the lease with token {lease.fencing_token}")
                write(storage, "holder 2", lease.fencing_token)
            first.send_signal(signal.SIGCONT)
            first.stdin.write("go on\n")
            first.stdin.flush()
            outcome = first.stdout.readline().strip()
        finally:
            first.kill()
    print(f"holder 1 goes on and writes: {outcome}")
    print("the storage holds what {} wrote with token {}".format(*read(storage)))
    return outcome


def main(arguments: list[str]) -> None:
    """The command line."""
    if arguments[:1] == ["--holder"]:
        holder(arguments[1], arguments[2], Path(arguments[3]))
        return
    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder) / "storage.sqlite"
        if arguments:
            story(arguments[0], storage)
            return
        with FakeServer() as server:
            story(server.url, storage)


if __name__ == "__main__":
    if os.name != "posix":
        sys.exit("this demonstration pauses a process with SIGSTOP, which only POSIX has")
    main(sys.argv[1:])
