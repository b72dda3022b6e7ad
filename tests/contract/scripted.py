"""A client of AWS whose answers a test writes down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.adapters.dynamodb.database import Names

URL = "http://127.0.0.1:1"
NAMES = Names("s", "e", "r")


def refused(code: str, status: int = 400, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(response, "Operation")


class Scripted:
    """A client whose calls answer, or raise, one thing after the other; remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            if operation == "get_queue_url":
                return {"QueueUrl": URL}
            self.asked.append((operation, arguments))
            answer = self._answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    @property
    def left(self) -> int:
        return len(self._answers)


def responses(*codes: str | None) -> dict[str, Any]:
    return {"Responses": [{} if code is None else {"Error": {"Code": code, "Message": "m"}} for code in codes]}
