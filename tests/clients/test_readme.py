"""The Python client's README: its code, as it stands and in its order, against the product."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from msgspec.structs import replace

from chalicelib.usecases import ticks
from tests.clients.chronosctl_calls import ROOT, SOURCE
from tests.clients.served import Served, serve

PAGE = ROOT / "clients" / "python" / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTED = "http://127.0.0.1:8080"
# What its reader has already: a storage, tables, a callback. It prints what the README's code did with them.
OF_THE_READER = """
import sqlite3, sys, types
class Storage:
    def write(self, chunk, fencing_token):
        print("wrote", chunk, fencing_token)
class Table:
    def update_item(self, **how):
        print("updates", how["TableName"], sorted(how["ExpressionAttributeValues"].values(), key=str)[0])
work, storage, dynamodb, key, token = ["a"], Storage(), Table(), {"id": {"S": "x"}}, 7
sys.modules["boto3"] = types.SimpleNamespace(client=lambda name: Table())
connection = sqlite3.connect(":memory:")
connection.execute("CREATE TABLE report (total INT)")
connection.execute("CREATE TABLE IF NOT EXISTS chronowatch_fences (resource TEXT PRIMARY KEY, token BIGINT NOT NULL)")
elected = __import__("threading").Event()
def start(*_):
    print("elected")
    elected.set()
def stop(*_):
    print("stopped")
def stop_after(tick):
    print("tick", tick.frequency)
    return True
"""
AT_THE_END = """
print(handler({"requestContext": {"http": {"method": "POST"}}, "headers": {}, "body": "{}"}, None)["statusCode"])
print(made["name"], made["target"]["url"])
"""


def _minutes(running: Served) -> str:
    """Minutes that have ticked, as a worker would have them tick; the number of the first of them."""
    house = running.house
    assert house.call("POST", "/api/v1/ticks/minute:enable").status == 200
    for _ in range(3):
        ticks.produce(house.services)
        store = house.services.stores.ticks
        book, rev = store.load()
        for frequency, stream in book.streams.items():
            book = book.with_stream(frequency, replace(stream, opened_sequence=stream.cursor.sequence))
        assert store.save(book, (), rev)
        house.clock.advance(60_000)
    return str(house.call("GET", "/api/v1/ticks/minute").json["items"][0]["sequence"])


def _script(text: str, url: str, first: str) -> str:
    blocks = [block.replace(DOCUMENTED, url) for block in BLOCK.findall(text)]
    assert (len(blocks), text.count(DOCUMENTED)) == (6, 2)
    for n, block in enumerate(blocks):
        if "async with" in block:
            blocks[n] = "import asyncio\nasync def main():\n" + textwrap.indent(block, "    ") + "asyncio.run(main())\n"
        # Where the README has dots the reader's own program goes on; here it waits for what it was told.
        blocks[n] = blocks[n].replace("\n...\n", "\nassert elected.wait(60)\n")
    blocks.insert(0, f"{OF_THE_READER}\nlast = {first}\n")
    return "\n".join([*blocks, AT_THE_END])


def test_the_code_of_the_readme_runs(tmp_path: Path) -> None:
    with serve() as running:
        running.house.make(name="tagged", tags=["nightly"])
        (tmp_path / "readme.py").write_text(_script(PAGE.read_text(), running.url, _minutes(running)))
        env = {
            **os.environ,
            "PYTHONPATH": str(SOURCE),
            "COVERAGE_PROCESS_START": "",
            "CHRONO_WEBHOOK_SECRET": "whsec_c2VjcmV0LW9mLXRoaXMtdGVzdA==",
        }
        ran = subprocess.run(
            [sys.executable, tmp_path / "readme.py"], env=env, capture_output=True, text=True, timeout=120, check=False
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "wrote a 1",
        "updates t {'N': '7'}",
        "elected",
        "stopped",
        "tick minute",
        "tagged",
        "401",
        "beat https://example.com/hook",
    ]
