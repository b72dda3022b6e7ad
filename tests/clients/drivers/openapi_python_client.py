"""Create, list, pause and delete with the client of openapi-python-client. Arguments: its folder, the service."""

from __future__ import annotations

import json
import sys
from pathlib import Path

folder, base_url = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(folder.parent))

from generated import Client, models  # noqa: E402
from generated.api.schedules import (  # noqa: E402
    delete_schedules_by_schedule_id,
    get_schedules,
    post_schedules,
    post_schedules_by_schedule_id_pause,
)

client = Client(base_url=base_url)
wanted = models.NewSchedule(
    type_=models.NewScheduleType.RATE,
    expr="rate:5s",
    name="made-by-a-client",
    payload={"hello": "world"},
    target=models.WebhookTarget(type_=models.WebhookTargetType.WEBHOOK, url="http://127.0.0.1:9/hook"),
)
made = post_schedules.sync(client=client, body=wanted)
assert isinstance(made, models.ScheduleView), made
assert isinstance(made.target, models.WebhookTarget), made.target
refused = post_schedules.sync(client=client, body=wanted)
assert isinstance(refused, models.Problem), refused
listed = get_schedules.sync(client=client, name_prefix="made-by", limit=10)
assert isinstance(listed, models.ScheduleList), listed
paused = post_schedules_by_schedule_id_pause.sync(made.id, client=client, body=models.PauseBody(note="enough"))
assert isinstance(paused, models.ScheduleView), paused
deleted = delete_schedules_by_schedule_id.sync(made.id, client=client)
assert isinstance(deleted, models.Deleted), deleted
print(
    json.dumps(
        {
            "url": made.target.url,
            "payload": made.payload,
            "refused": refused.code,
            "listed": [schedule.id for schedule in listed.items] == [made.id],
            "state": paused.state.value,
            "note": paused.note,
            "deleted": deleted.id == made.id,
        }
    )
)
