"""What is chosen when a stack is made, and not when it is packaged: once, for CloudFormation and for Terraform.

CloudFormation calls them parameters and Terraform variables. A choice that is left alone costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SECRET_LENGTH_MIN: Final = 32
# What Lambda takes. Standard pollers begin at 5 and reach 1,250; provisioned ones cost money while they wait.
CONCURRENCY_MIN, CONCURRENCY_MOST = 2, 1000
POLLERS_MIN, POLLERS_MIN_MOST, POLLERS_MOST = 2, 200, 2000


@dataclass(frozen=True, slots=True)
class Number:
    """A number; 0 for "not chosen"."""

    parameter: str
    description: str
    least: int
    most: int
    default: int = 0

    @property
    def variable(self) -> str:
        """Its name in Terraform."""
        return _snake(self.parameter)


@dataclass(frozen=True, slots=True)
class Switch:
    """Yes or no."""

    parameter: str
    description: str
    default: bool = False

    @property
    def variable(self) -> str:
        """Its name in Terraform."""
        return _snake(self.parameter)


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a form; empty for "not chosen"."""

    parameter: str
    description: str
    pattern: str = ""

    @property
    def variable(self) -> str:
        """Its name in Terraform."""
        return _snake(self.parameter)


DELETION_PROTECTION: Final = Switch("DeletionProtection", "Refuse to delete the tables", default=True)
OWN_KEY: Final = Switch("OwnKey", "Encrypt tables, queues and logs with a KMS key of the deployment's own")
ACCESS_LOGS: Final = Switch(
    "AccessLogs", "Log each request to the API; API Gateway needs a role for logs in the account"
)
ARCHIVE_DAYS: Final = Number("ArchiveDays", "Days for which the bus's events can be replayed", 1, 3650)
ALARM_TOPIC: Final = Text("AlarmTopicArn", "An SNS topic that hears of alarms", "^arn:[^:]+:sns:.+$")
CONCURRENCY: Final = Number(
    "DeliverMaximumConcurrency",
    "The most batches that are delivered at once; not together with provisioned pollers",
    CONCURRENCY_MIN,
    CONCURRENCY_MOST,
)
POLLERS_LEAST: Final = Number(
    "DeliverPollersMinimum",
    "Provisioned pollers of the work queue that always wait: for more than 10,000 firings a second",
    POLLERS_MIN,
    POLLERS_MIN_MOST,
)
POLLERS: Final = Number(
    "DeliverPollersMaximum", "The most provisioned pollers of the work queue", POLLERS_MIN, POLLERS_MOST
)
SUBSCRIBERS: Final = Number(
    "SubscribersMaximum",
    "The most subscribers to changes at once, of the account's concurrency; further ones get 503",
    1,
    1000,
    default=20,
)
SWITCHES: Final = (DELETION_PROTECTION, OWN_KEY, ACCESS_LOGS)
NUMBERS: Final = (ARCHIVE_DAYS, CONCURRENCY, POLLERS_LEAST, POLLERS, SUBSCRIBERS)
TEXTS: Final = (ALARM_TOPIC,)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
