"""What callers may do with notification rules, beside what the API's tests show."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import CapacityExhausted, Forbidden, InvalidField
from chalicelib.core.notices.limits import RULES_MAX_COUNT
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, guest
from chalicelib.usecases import notices
from tests.kit.alert_play import AlertPlay


def test_a_tenant_has_so_many_rules() -> None:
    play = AlertPlay()
    for _ in range(RULES_MAX_COUNT):
        play.rule()
    with pytest.raises(CapacityExhausted):
        play.rule()


def test_every_wrong_channel_is_named() -> None:
    play = AlertPlay()
    with pytest.raises(InvalidField) as refused:
        play.rule(channels=({"type": "webhook"}, {"type": "slack"}, {"type": "sns", "topic_arn": "x"}))
    assert [e.field for e in refused.value.errors] == ["channels.0.url", "channels.1.url", "channels.2.topic_arn"]


def test_who_may_not_is_refused() -> None:
    play = AlertPlay()
    rule = play.rule()
    with pytest.raises(Forbidden):
        notices.get(play.s, guest([]), rule.id)
    assert notices.create(play.s, ANONYMOUS_ADMIN, notices.RuleWish(), rule.id, again=True) == rule
