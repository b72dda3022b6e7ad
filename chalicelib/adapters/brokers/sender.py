"""What the senders to brokers share: judged addresses, credentials, a lane for each broker, and outcomes."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from chalicelib.adapters.brokers.addresses import AddressJudge, BrokerPeer
from chalicelib.adapters.brokers.alerts import CertificateRefused
from chalicelib.adapters.brokers.credentials import SIGN_IN_FIELDS, BrokerCredentials, read_credentials
from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused, SignInRefused, outcome_of
from chalicelib.adapters.brokers.links import BrokerLink, Links
from chalicelib.adapters.brokers.own_certificates import FIELDS, tls_context
from chalicelib.adapters.http.resolver import Resolver, system_resolver
from chalicelib.adapters.http.trust import trusting
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.ports.target import COMPLETED, Delivery, Outcome

ANSWER_MAX_S: Final = 10.0  # a broker that takes longer to acknowledge a message is away
PREPARE_TIMEOUT_S: Final = 0.5


class BrokerSender:
    """A sender to one kind of broker. Thread-safe; one a process, so that connections are shared."""

    max_batch = 1
    ports: Mapping[str, int] = {}
    takes_path = False
    secret_fields: tuple[str, ...] = SIGN_IN_FIELDS
    ref_named = "secret_ref"  # the field of a target
    answer_max_s = ANSWER_MAX_S
    requirements = "requirements-brokers.txt"

    def __init__(self, parts: TargetParts, *, resolver: Resolver = system_resolver, ca_file: str | None = None) -> None:
        """``ca_file`` holds certificates trusted beside the system's."""
        self._monotonic_s = parts.monotonic_s
        self._judge = AddressJudge(parts.webhook_allow, parts.monotonic_s, resolver)
        self._secrets = parts.secrets
        self._policy = parts.secret_policy
        self._ca_file = ca_file
        self._links = Links(parts.monotonic_s)
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    # -- what a kind says

    def _addresses(self, target: Mapping[str, object]) -> Sequence[str]:
        """The texts that say where the broker is."""
        raise NotImplementedError

    def _secret_ref(self, target: Mapping[str, object]) -> object:
        return target.get("secret_ref")

    def _options(self, target: Mapping[str, object]) -> Hashable:
        """What else is part of a connection, so that two that differ in it are two."""
        return None

    def _connect(
        self,
        peers: Sequence[BrokerPeer],
        credentials: BrokerCredentials,
        target: Mapping[str, object],
        timeout_s: float,
    ) -> BrokerLink:
        """Connect to one of the peers. Raises what ``faults`` names."""
        raise NotImplementedError

    # -- the port

    def prepare(self, delivery: Delivery) -> None:
        """Read the secret and connect. Never raises; never sends."""
        with contextlib.suppress(Exception):
            credentials = self._read(delivery)
            timeout_s = min(delivery.timeout_ms / 1000, PREPARE_TIMEOUT_S)
            with self._links.lent(
                self._key(delivery, credentials), self._opener(delivery, credentials, timeout_s), timeout_s
            ):
                pass

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Send each now; one outcome each, in order."""
        return [self._deliver(delivery) for delivery in deliveries]

    def cancel(self, execution_id: str, attempt: int) -> bool:
        """A broker answers within seconds, or is away; what it was sent cannot be taken back."""
        return False

    def close(self) -> None:
        """Close what is kept."""
        self._links.close()

    # -- one delivery

    def _deliver(self, delivery: Delivery) -> Outcome:
        timeout_s = min(delivery.timeout_ms / 1000, self.answer_max_s)
        deadline_s = self._monotonic_s() + timeout_s
        try:
            credentials = self._read(delivery)
            try:
                return self._publish(delivery, credentials, deadline_s)
            except (SignInRefused, CertificateRefused):
                # The secret may have been rotated since it was read. Nothing was sent yet.
                if not credentials.ref or not self._rotated(credentials):
                    raise
                return self._publish(delivery, self._read(delivery), deadline_s)
        except Exception as error:
            return self._outcome(error, round(timeout_s * 1000))

    def _outcome(self, error: Exception, timeout_ms: int) -> Outcome:
        return outcome_of(error, timeout_ms, self.requirements)

    def _publish(self, delivery: Delivery, credentials: BrokerCredentials, deadline_s: float) -> Outcome:
        key, left_s = self._key(delivery, credentials), self._left_s(deadline_s)
        if not self._links.has(key):
            delivery.sent()  # connecting takes round trips, in which this process is idle
        with self._links.lent(key, self._opener(delivery, credentials, left_s), left_s) as link:
            delivery.sent()
            receipt = link.publish(delivery, self._left_s(deadline_s))
        return Outcome(COMPLETED, receipt=json.dumps(receipt, separators=(",", ":")))

    def _read(self, delivery: Delivery) -> BrokerCredentials:
        ref = self._secret_ref(delivery.target)
        fields = (*self.secret_fields, *FIELDS)
        named = f"target.{self.ref_named}"
        return read_credentials(self._secrets, self._policy, ref, delivery.tenant, fields, named)

    def _rotated(self, credentials: BrokerCredentials) -> bool:
        """Read a refused secret anew. True when it has changed, so that another try may pass."""
        return self._secrets.refused(credentials.ref, credentials.values)

    def _key(self, delivery: Delivery, credentials: BrokerCredentials) -> Hashable:
        target = delivery.target
        return delivery.tenant, tuple(self._addresses(target)), self._options(target), credentials.values

    def _opener(self, delivery: Delivery, credentials: BrokerCredentials, timeout_s: float) -> Callable[[], BrokerLink]:
        def open_link() -> BrokerLink:
            deadline_s = self._monotonic_s() + timeout_s
            peers = self._judged(self._addresses(delivery.target), deadline_s)
            return self._connect(peers, credentials, delivery.target, self._left_s(deadline_s))

        return open_link

    def _left_s(self, deadline_s: float) -> float:
        return max(0.001, deadline_s - self._monotonic_s())

    # -- where it may go

    def _judged(self, texts: Sequence[str], deadline_s: float) -> list[BrokerPeer]:
        """The peers that may be called. Raises AddressRefused, BrokerRefused, OSError."""
        return self._judge.judged(texts, self.ports, self.takes_path, deadline_s)

    def _tls_context(self, credentials: BrokerCredentials) -> ssl.SSLContext:
        """What checks the broker. Raises SecretMissing."""
        if any(credentials.get(name) for name in FIELDS):
            return tls_context(credentials, self._ca_file)
        with self._lock:
            if self._tls is None:
                self._tls = trusting(self._ca_file)
            return self._tls


def first_to_answer(
    peers: Sequence[BrokerPeer], dial: Callable[[BrokerPeer, float], BrokerLink], timeout_s: float
) -> BrokerLink:
    """The link to the first peer that answers; each has an even share of the time. One that does not take the
    credentials ends it: the others are the same broker."""
    problem: Exception = BrokerAway("the target names no broker")
    for peer in peers:
        try:
            return dial(peer, timeout_s / len(peers))
        except BrokerRefused:
            raise
        except ssl.SSLCertVerificationError:
            raise
        except (OSError, BrokerAway) as error:
            problem = error
    raise problem
