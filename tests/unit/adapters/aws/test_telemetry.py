from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from chalicelib.adapters.aws import telemetry


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    telemetry.configure_logging("INFO", stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)


def test_a_record_is_one_json_line_with_its_context(lines: io.StringIO) -> None:
    logging.getLogger("x").warning("shard %d\nis late", 3, extra={"schedule_id": "01H", "trace_id": "ab"})
    (line,) = lines.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["msg"]) == ("WARNING", "shard 3\nis late")
    assert (record["schedule_id"], record["trace_id"]) == ("01H", "ab")
    assert record["ts"].endswith("Z")
    assert "span_id" not in record


def test_an_exception_is_within_its_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    (line,) = lines.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["error"]


def test_libraries_that_log_requests_are_kept_quiet(lines: io.StringIO) -> None:
    logging.getLogger().setLevel("DEBUG")
    logging.getLogger("botocore.endpoint").debug("body: a secret payload")
    logging.getLogger("urllib3.connectionpool").info("a header")
    assert lines.getvalue() == ""
