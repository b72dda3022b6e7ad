"""Words to a schedule and back, over HTTP."""

from __future__ import annotations

import pytest

from tests.kit.house import House

PARSE = "/api/v1/schedules:parse"


def test_a_text_becomes_the_fields_of_a_schedule(shared: House) -> None:
    asked = {"text": "every weekday at 9:00", "timezone": "Europe/Berlin"}
    found = shared.call("POST", PARSE, asked).json
    assert (found["type"], found["expr"], found["timezone"]) == ("CRON", "0 9 * * 1-5", "Europe/Berlin")
    assert found["description"] == "every weekday at 09:00 (Europe/Berlin)"
    preview = {key: found[key] for key in ("type", "expr", "timezone")}
    assert found["runs_unix_ms"] == shared.call("POST", "/api/v1/schedules:preview", preview).json["runs_unix_ms"]
    assert shared.call("POST", PARSE, {"text": found["description"]}).json == found


def test_what_may_mean_several_things_has_choices(shared: House) -> None:
    found = shared.call("POST", PARSE, {"text": "on Monday at 9:00"}).json
    assert [choice["type"] for choice in found["choices"]] == ["CRON", "AT"]
    assert all(choice["description"] and choice["runs_unix_ms"] for choice in found["choices"])
    assert found["doubts"][0]["at"] == [3, 9]
    assert "type" not in found


@pytest.mark.parametrize("kind", ["RATE", "DELAY"])
def test_runs_are_those_of_a_schedule_that_is_made_now(shared: House, kind: str) -> None:
    text = {"RATE": "every 5 minutes", "DELAY": "5 minutes after the previous run ends"}[kind]
    found = shared.call("POST", PARSE, {"text": text}).json
    assert found["type"] == kind
    assert len(found["runs_unix_ms"]) == (10 if kind == "RATE" else 1)


def test_what_is_not_understood_is_named_with_its_place(shared: House) -> None:
    answer = shared.call("POST", PARSE, {"text": "каждый 🍌 день"})
    assert (answer.status, answer.json["code"]) == (422, "not_understood")
    [error] = answer.json["errors"]
    assert (error["field"], error["at"]) == ("text", [7, 8])


def test_a_language_may_be_named(shared: House) -> None:
    text = "cada 5 minutos"
    assert shared.call("POST", PARSE, {"text": text, "language": "pt"}).json["description"] == "a cada 5 minutos (UTC)"
    refused = shared.call("POST", PARSE, {"text": text, "language": "ru"})
    assert (refused.status, refused.json["code"]) == (422, "not_understood")
    assert shared.call("POST", PARSE, {"text": text, "language": "de"}).status == 422
    assert shared.call("POST", PARSE, {"text": text, "timezone": "Mars/Base"}).json["errors"][0]["field"] == "timezone"
    assert shared.call("POST", PARSE, {"text": ""}).json["errors"][0]["field"] == "text"


def test_every_schedule_is_described_in_the_language_of_its_reader(house: House) -> None:
    made = house.make(type="CRON", expr="0 9 * * MON", timezone="Europe/Madrid")
    assert made["description"] == "every Monday at 09:00 (Europe/Madrid)"
    path = f"/api/v1/schedules/{made['id']}"
    for language, text in (
        ("es-ES", "cada lunes a las 09:00"),
        ("ru", "по понедельникам в 09:00"),
        ("pt-BR", "toda segunda-feira às 09:00"),
        ("de", "every Monday at 09:00"),
    ):
        answer = house.call("GET", path, headers={"accept-language": language})
        assert answer.json["description"] == f"{text} (Europe/Madrid)"
        assert answer.headers["Vary"] == "Accept-Language"
    [listed] = house.call("GET", "/api/v1/schedules", headers={"accept-language": "ru"}).json["items"]
    assert listed["description"] == "по понедельникам в 09:00 (Europe/Madrid)"
