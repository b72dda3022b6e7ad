"""Create, list, pause and delete with the client of openapi-generator. Arguments: its folder, the service."""

from __future__ import annotations

import json
import sys

folder, base_url = sys.argv[1], sys.argv[2]
sys.path.insert(0, folder)

import openapi_client as generated  # noqa: E402

api = generated.SchedulesApi(generated.ApiClient(generated.Configuration(host=base_url)))
wanted = generated.NewSchedule(
    type="RATE",
    expr="rate:5s",
    name="made-by-a-client",
    payload={"hello": "world"},
    target=generated.Target(generated.WebhookTarget(type="webhook", url="http://127.0.0.1:9/hook")),
)
made = api.post_schedules(wanted)
target = made.target.actual_instance
assert isinstance(target, generated.WebhookTarget), target
try:
    api.post_schedules(wanted)
    refused = None
except generated.ApiException as problem:
    refused = problem.data.code
listed = api.get_schedules(name_prefix="made-by", limit=10)
paused = api.post_schedules_by_schedule_id_pause(made.id, pause_body=generated.PauseBody(note="enough"))
deleted = api.delete_schedules_by_schedule_id(made.id)
print(
    json.dumps(
        {
            "url": target.url,
            "payload": made.payload,
            "refused": refused,
            "listed": [schedule.id for schedule in listed.items] == [made.id],
            "state": paused.state,
            "note": paused.note,
            "deleted": deleted.id == made.id,
        }
    )
)
