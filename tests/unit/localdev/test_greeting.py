"""What ``scripts/dev`` advises when it is up."""

from __future__ import annotations

import pytest

from localdev.supervisor import what_to_try

BASE = "http://127.0.0.1:8080"


@pytest.mark.parametrize(("auth", "sent"), [("off", False), ("apikey", True), ("jwt,apikey", True)])
def test_the_first_steps_can_be_taken_as_they_stand(auth: str, sent: bool) -> None:
    lines = what_to_try(BASE, auth)
    assert all(("Bearer KEY" in line) == sent for line in lines if "curl" in line)
    assert any(f"curl -s -XPOST {BASE}/api/v1/schedules" in line for line in lines)


def test_a_closed_service_says_how_it_is_opened_and_not_what_would_be_refused() -> None:
    said = "\n".join(what_to_try(BASE, "deny"))
    assert "curl" not in said
    assert "CHRONO_AUTH" in said
