"""Which references a deployment takes, beside their form."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from chalicelib.core.secrets import secret_ref

EVERY: Final = "*"  # of header references: all of them
TENANT: Final = "{tenant}"


class SecretPolicy(NamedTuple):
    """``environment``: whether ``env:NAME`` is taken, which is so on loopback alone.

    ``header_refs``: the beginnings of references whose *value* a target may be sent, as a header. A signing key never
    leaves the service. A header's value does, and the owner of the schedule chooses where to. ``{tenant}`` in one
    stands for the tenant. The default refuses all: who forgets to hand over a policy opens nothing.
    """

    environment: bool = False
    header_refs: tuple[str, ...] = ()

    def problem(self, ref: object) -> str | None:
        """Why a reference may not be used, or None."""
        wrong = secret_ref.problem(ref)
        if wrong is None and str(ref).startswith("env:") and not self.environment:
            return "env: is only for a service bound to loopback: use secretsmanager:, ssm: or vault:"
        return wrong

    def header_problem(self, ref: object, tenant: str | None = None) -> str | None:
        """Why the value of a reference may not be sent as a header, or None. Without a tenant, any could be meant."""
        wrong = self.problem(ref)
        if wrong is None and not any(_begins(str(ref), entry, tenant) for entry in self.header_refs):
            return "is not among the references that CHRONO_HEADER_SECRETS lists"
        return wrong


def _begins(ref: str, entry: str, tenant: str | None) -> bool:
    if entry == EVERY:
        return True
    if tenant is not None:
        return ref.startswith(entry.replace(TENANT, tenant))
    return re.match(re.escape(entry).replace(re.escape(TENANT), r"[^/#]+"), ref) is not None


STRICTEST: Final = SecretPolicy()
