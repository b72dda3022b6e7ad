"""A mailer that keeps what it is given."""

from __future__ import annotations

from chalicelib.ports.workflow_steps import Mail, StepFailed


class FakeMailer:
    """Takes e-mails, and answers as told."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.problem: StepFailed | None = None

    def send(self, mail: Mail) -> str:
        self.sent.append(mail)
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem
        return f"m{len(self.sent)}"
