"""``Mailer`` by SES: one call a message. The sender is an address or a domain that SES has verified."""

from __future__ import annotations

from typing import Any, Final

from chalicelib.adapters.aws import clients
from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.ports.workflow_steps import Mail, StepFailed

_AGAIN: Final = frozenset({"TooManyRequestsException", "LimitExceededException", "InternalServiceErrorException"})


class SesMailer:
    """SES of the deployment's region. What it refuses for good is not tried again."""

    def __init__(self, client: ClientFactory) -> None:
        self._client = client

    def send(self, mail: Mail) -> str:
        """The id that SES gave the message. Raises StepFailed."""
        request: dict[str, Any] = {
            "FromEmailAddress": mail.sender,
            "Destination": {"ToAddresses": list(mail.to)},
            "Content": {
                "Simple": {
                    "Subject": {"Data": mail.subject, "Charset": "UTF-8"},
                    "Body": {"Text": {"Data": mail.text, "Charset": "UTF-8"}},
                    "Headers": [{"Name": "Idempotency-Key", "Value": mail.key}],
                }
            },
        }
        try:
            return str(self._client().send_email(**request)["MessageId"])
        except Exception as error:
            code = clients.code_of(error)
            if not code:
                raise StepFailed("connection_error", f"SES: {error!r}"[:300], retryable=True) from error
            raise StepFailed("rejected", f"SES: {error}"[:300], retryable=code in _AGAIN) from error
