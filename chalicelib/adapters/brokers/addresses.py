"""Where brokers are, judged before they are called: what is dialled is the very address that was judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from chalicelib.adapters.brokers.faults import BrokerRefused
from chalicelib.adapters.http.dialer import AddressRefused
from chalicelib.adapters.http.resolver import Resolver, resolve_within, system_resolver
from chalicelib.core.targets.broker_address import BrokerAddress, parse_broker
from chalicelib.core.targets.ssrf import check_address


class BrokerPeer(NamedTuple):
    """An address that was judged: what is dialled is ``ip``, and certificates are checked against ``host``."""

    scheme: str
    host: str
    ip: str
    port: int
    path: str | None


class AddressJudge:
    """The guard in front of brokers."""

    def __init__(
        self, allow: Sequence[str], monotonic_s: Callable[[], float], resolver: Resolver = system_resolver
    ) -> None:
        """``allow`` is CHRONO_WEBHOOK_ALLOW taken apart."""
        self._allow = allow
        self._monotonic_s = monotonic_s
        self._resolver = resolver

    def judged(
        self, texts: Sequence[str], ports: Mapping[str, int], takes_path: bool, deadline_s: float
    ) -> list[BrokerPeer]:
        """The peers that may be called. One forbidden address refuses them all, as with webhooks. A name that cannot be
        resolved is passed over when another can. Raises AddressRefused, BrokerRefused, OSError."""
        peers, problem = list[BrokerPeer](), None
        for text in texts:
            try:
                address = parse_broker(text, ports, takes_path)
            except ValueError as error:
                raise BrokerRefused(f"{text} {error}") from None
            try:
                peers += self._resolved(address, deadline_s)
            except OSError as error:
                problem = error
        if not peers:
            raise problem or BrokerRefused("no broker is named")
        return peers

    def _resolved(self, address: BrokerAddress, deadline_s: float) -> list[BrokerPeer]:
        left_s = max(0.001, deadline_s - self._monotonic_s())
        found = (
            (address.literal,)
            if address.literal is not None
            else resolve_within(self._resolver, address.host, address.port, left_s)
        )
        for each in found:
            if problem := check_address(address.host, each, self._allow):
                raise AddressRefused(f"{address.host}: {problem}")
        return [BrokerPeer(address.scheme, address.host, str(each), address.port, address.path) for each in found]
