"""What a process lends to the consumers of triggers, and what all brokers' consumers do before they connect."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from msgspec import Struct

from chalicelib.adapters.brokers.addresses import AddressJudge, BrokerPeer
from chalicelib.adapters.brokers.alerts import CertificateRefused
from chalicelib.adapters.brokers.credentials import SIGN_IN_FIELDS, BrokerCredentials, read_credentials
from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused, SignInRefused
from chalicelib.adapters.brokers.own_certificates import FIELDS, tls_context
from chalicelib.adapters.http.dialer import AddressRefused
from chalicelib.adapters.http.distrust import distrust
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.ports.event_sources import SourceProblem
from chalicelib.ports.secrets import SecretAway, SecretMissing

BATCH_MAX: Final = 16  # messages of one trigger that a worker has in hand
CONNECT_S: Final = 10.0


class SourceParts(Struct, frozen=True):
    """``lent`` is what targets get too. ``queues`` is CHRONO_TRIGGER_QUEUES taken apart; ``ca_file`` holds certificates
    that are trusted beside the system's."""

    lent: TargetParts
    stage: str
    queues: tuple[str, ...] = ()
    ca_file: str | None = None


class Access(NamedTuple):
    """What connects to a broker: peers that were judged, and credentials."""

    peers: list[BrokerPeer]
    credentials: BrokerCredentials
    judge: Callable[[Sequence[str]], object]
    ca_file: str | None
    monotonic_s: Callable[[], float]

    def tls(self) -> ssl.SSLContext:
        """What checks the broker, and shows it the certificate of the secret. Raises SecretMissing."""
        return tls_context(self.credentials, self.ca_file)


@contextmanager
def access(
    parts: SourceParts,
    trigger: Trigger,
    ref: object,
    texts: Sequence[str],
    ports: Mapping[str, int],
    takes_path: bool = False,
    fields: Sequence[str] = SIGN_IN_FIELDS,
    named: str = "secret_ref",
) -> Iterator[Access]:
    """For the time of connecting: addresses are judged, the secret is read, and all problems are SourceProblem. One
    that was refused is read anew by the next try: it may have been rotated. ``named`` is the field that has ``ref``."""
    lent = parts.lent
    judge = AddressJudge(lent.webhook_allow, lent.monotonic_s)
    credentials = BrokerCredentials()

    def judged(others: Sequence[str]) -> list[BrokerPeer]:
        return judge.judged(others, ports, takes_path, lent.monotonic_s() + CONNECT_S)

    try:
        known = (*fields, *FIELDS)
        credentials = read_credentials(lent.secrets, lent.secret_policy, ref, trigger.tenant, known, f"source.{named}")
        yield Access(judged(texts), credentials, judged, parts.ca_file, lent.monotonic_s)
    except (SignInRefused, CertificateRefused) as problem:
        if credentials.ref:
            lent.secrets.refused(credentials.ref, credentials.values)
        raise SourceProblem(str(problem)) from problem
    except (BrokerAway, BrokerRefused, AddressRefused, SecretMissing) as problem:
        raise SourceProblem(str(problem)) from problem
    except SecretAway as problem:
        raise SourceProblem(f"a secret cannot be read: {problem}") from problem
    except ssl.SSLCertVerificationError as problem:
        raise SourceProblem(distrust(problem)) from problem
    except OSError as problem:
        raise SourceProblem(f"{type(problem).__name__}: {problem}") from problem
