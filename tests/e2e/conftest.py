"""End to end: the real ``scripts/dev``, an emulator of its own, real webhooks; no internet and no fixed ports."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers import BrokerProcess, nats_program, running
from tests.e2e.busy import StallMeter
from tests.e2e.dev_server import DevServer
from tests.e2e.paced_receiver import PacedReceiver
from tests.e2e.receiver import Receiver
from tests.e2e.scripted import Script, Scripted
from tests.kit import issuer as issuers
from tests.kit.emulator import running_emulator
from tests.kit.issuer import AUDIENCE, Issuer
from tests.kit.ports import free_port

HERE = Path(__file__).parent
FIRST_KEY = re.compile(r"First admin key of tenant default\..*\n +(cw_[0-9A-Za-z]{8}_[0-9A-Za-z]{36})\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def stalls() -> Iterator[StallMeter]:
    """Says how long the machine stood still in a span of this test, which bounds of lateness are longer by."""
    with StallMeter() as meter:
        yield meter


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somewhere to fire at."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def scripted() -> Iterator[Callable[[Script], Scripted]]:
    """Makes webhooks that answer by a script."""
    made: list[Scripted] = []

    def make(script: Script) -> Scripted:
        made.append(Scripted(script))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def new_receiver() -> Iterator[Callable[[int], PacedReceiver]]:
    """Makes receivers that answer after so many milliseconds."""
    made: list[PacedReceiver] = []

    def make(delay_ms: int) -> PacedReceiver:
        made.append(PacedReceiver(delay_ms))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


@pytest.fixture
def aws() -> Iterator[str]:
    """The endpoint of an emulator that lives through the deaths of all dev servers, as AWS does."""
    with running_emulator() as endpoint:
        yield endpoint


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., DevServer]]:
    """Makes dev servers that are stopped at the end."""
    made: list[DevServer] = []

    def make(**options: object) -> DevServer:
        options.setdefault("data_dir", tmp_path / f"data-{len(made)}")
        made.append(DevServer(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for server in reversed(made):
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """One dev server for the tests of a module that leave it running."""
    made = DevServer(tmp_path_factory.mktemp("dev") / "data")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """Somebody whose tokens are taken."""
    with issuers.running() as found:
        yield found


@pytest.fixture(scope="session")
def announced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A NATS server, which gets the deployed product's own events."""
    folder, port = tmp_path_factory.mktemp("announced"), free_port()
    command = [nats_program(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder]
    with running(command, port, folder) as found:
        yield found


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, announced: BrokerProcess) -> Iterator[DevServer]:
    """The packaged product as a stack, with keys and tokens asked for. The tests of test_deployed*.py share it."""
    env = {"CHRONO_AUTH": "jwt,apikey", "CHRONO_JWT_ISSUER": issuer.url, "CHRONO_JWT_AUDIENCE": AUDIENCE}
    target = {"type": "nats", "servers": [f"nats://127.0.0.1:{announced.port}"], "subject": "events"}
    env["CHRONO_DEFAULT_TARGET"] = json.dumps(target)
    made = DevServer(tmp_path_factory.mktemp("deployed") / "data", env, ("--deployed",))
    [made.key] = FIRST_KEY.findall(made.greeted())
    yield made
    made.stop()


@pytest.fixture(scope="session")
def quiet_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """One dev server for the tests that run alone."""
    made = DevServer(tmp_path_factory.mktemp("quiet") / "data")
    made.start()
    yield made
    made.stop()
