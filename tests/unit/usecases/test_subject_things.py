"""What a subject owns is shown without its tokens, and nothing of others is."""

from __future__ import annotations

from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.usecases import subject_things, trigger_settings
from chalicelib.usecases.trigger_settings import TriggerRequest
from tests.kit.services import make_services


def test_triggers_are_those_of_the_subject_and_bare() -> None:
    s = make_services()
    for number, owner in enumerate(("ann", "bee", "ann")):
        wanted = TriggerRequest(name=f"t{number}", owner=owner, source={"type": "webhook"})
        trigger_settings.create(s, ANONYMOUS_ADMIN, wanted, f"01KB{number:022d}")
    found = subject_things.own_triggers(s, ANONYMOUS_ADMIN, "ann", None)
    assert (found.changed, found.after) == (0, None)
    assert sorted(record.data["name"] for record in found.records) == ["t0", "t2"]
    assert {(record.kind, record.data["token"]) for record in found.records} == {("trigger", None)}
