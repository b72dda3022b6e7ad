"""What a start loads, counted in modules: docs/performance.md says what they cost. A bound leaves room for a few."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.api.http import routes
from chalicelib.functions import api
from tests.kit.gateway import AUTH, request
from tests.kit.services import make_services

ROOT = Path(__file__).resolve().parents[3]
START = """
import sys
import chalicelib.functions.{function}
from chalicelib import bootstrap
bootstrap.services()
{play}
print(*sys.modules)
"""
# Of the package, and of anything. Whoever must raise one says in its commit what the first call needs it for.
MOST = {
    "deliver": (215, 375),
    "sweep": (227, 387),
    "reconcile": (225, 385),
    "feed": (200, 360),
    "api": (207, 370),
}
# What none of them needs before its first call, and most never.
NEVER = (
    "chalicelib.adapters.dynamodb.idempotency",
    "chalicelib.adapters.dynamodb.leases",
    "chalicelib.adapters.dynamodb.logs",
    "chalicelib.adapters.dynamodb.policies",
    "chalicelib.adapters.dynamodb.queues",
    "chalicelib.adapters.dynamodb.quotas",
    "chalicelib.adapters.dynamodb.roles",
    "chalicelib.adapters.dynamodb.ticks",
    "chalicelib.adapters.secrets",
    "chalicelib.adapters.targets.webhook",
    "chalicelib.core.notices.rule",
    "chalicelib.core.rules.policy",
    "chalicelib.engine.workflows",
    "botocore",
    "boto3",
    "yaml",
    "email.mime",
)


def loaded(function: str, play: str = "") -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", START.format(function=function, play=play)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "CHRONO_CONFIG": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.split())


def nouns(modules: set[str]) -> set[str]:
    """The nouns of the API whose calls are loaded."""
    return {
        name.split(".")[2]
        for name in modules
        if name.startswith("chalicelib.api.") and name.count(".") > 2 and name.split(".")[2] not in ("http", "rpc")
    }


@pytest.mark.parametrize("function", MOST)
def test_a_start_loads_no_more_than_its_first_call_needs(function: str) -> None:
    modules = loaded(function)
    ours = {name for name in modules if name.partition(".")[0] == "chalicelib"}
    most_ours, most = MOST[function]
    assert sorted(name for name in modules if name.startswith(NEVER)) == []
    assert len(ours) <= most_ours, sorted(ours)
    assert len(modules) <= most, sorted(modules)


def test_the_api_loads_the_nouns_of_the_place_that_it_is_asked_for() -> None:
    call = "chalicelib.functions.api.application_of({event!r})"
    event: dict[str, Any] = {"requestContext": {"resourcePath": "/api/v1/time/now"}, "pathParameters": None}
    assert nouns(loaded("api")) == set()
    assert nouns(loaded("api", call.format(event=event))) == {"clock"}
    event["requestContext"]["resourcePath"] = "/{proxy+}"
    event["pathParameters"] = {"proxy": "api/v1/leases/a/b"}
    assert nouns(loaded("api", call.format(event=event))) == {"leases"}
    event["pathParameters"] = {"proxy": "api/v1/nothing/here"}
    assert nouns(loaded("api", call.format(event=event))) == set()


@pytest.mark.parametrize("noun", routes.NOUNS)
def test_a_noun_is_at_the_places_that_the_table_names(noun: str) -> None:
    make = import_module(f"chalicelib.api.{noun}").operations
    made = make(list) if signature(make).parameters else make()
    assert {routes.place_of(operation.path) for operation in made} == set(routes.NOUNS[noun])


def test_each_operation_is_found_at_the_place_of_its_path() -> None:
    for operation in routes.table().operations:
        there = routes.table_at(routes.place_of(operation.path))
        assert there.at(operation.method, operation.path) is not None, operation.path


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/api/v1/schedules:batch", "schedules"),
        ("/api/v1/schedules/{schedule_ref}", "schedules"),
        ("/api/tasks/subscribe", "tasks"),
        ("/jobs", "jobs"),
        ("/.well-known/jwks.json", ".well-known"),
        ("/api/v1/", ""),
        ("/", ""),
        ("", ""),
        ("/api/v1/scheduleses", ""),
    ],
)
def test_the_place_of_a_path_is_its_first_word(path: str, place: str) -> None:
    assert routes.place_of(path) == place


def test_paths_that_nobody_serves_share_one_application() -> None:
    event: dict[str, Any] = {"requestContext": {"resourcePath": "/{proxy+}"}, "pathParameters": {"proxy": "no/such"}}
    other = {**event, "pathParameters": {"proxy": "api/v1/other"}}
    assert api.application_of(event) is api.application_of(other)
    with bootstrap.override(make_services(), AUTH):
        asked = request("/{proxy+}", None, f"Bearer {api.handle(api.FIRST_KEY, None)['key']}")
        answer = api.handle({**asked, "pathParameters": {"proxy": "no/such"}}, None)
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "not_found")
