"""AWS clients and what their errors mean: the one place that retries, and that keeps "not done" from "perhaps done".

botocore's own retries are off. It would repeat a conditional write whose answer was lost, find its own first try, and
report a lost race that was in fact won. Here a call is repeated when nothing can have happened (throttled, not
connected). It is also repeated when that is harmless (a read, a transaction with its token). All else is
``OutcomeUnknown``.

botocore is imported when the first client is made: importing this module costs nothing.
"""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from chalicelib import VERSION
from chalicelib.adapters.machine.system import SystemClock, pause
from chalicelib.core.errors import OutcomeUnknown, Unavailable

if TYPE_CHECKING:
    from chalicelib.adapters.aws.http_session import HttpSession

T = TypeVar("T")
Client = Any
ClientFactory = Callable[[], Client]

ATTEMPTS_MAX = 4
TIMEOUTS_MAX = 2  # of READ_TIMEOUT_S each: a third would outlast most callers
PAUSE_FIRST_MS = 25
CONNECT_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 5.0
POOL_CONNECTIONS_MAX = 64

# Refused before anything was written; the same call may pass a little later.
THROTTLES = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflict",
        "TransactionConflictException",
    }
)
# Refused, and repeating at once would not help: a resource or a right is missing. Nothing was written.
REFUSALS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "QueueDoesNotExist",
        "ResourceInUseException",
        "ResourceNotFound",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
    }
)


def resource_name(stage: str, part: str) -> str:
    """The name of a table, queue or rule of a stage."""
    return f"chronowatch-{stage}-{part}"


class AnswerEar(Protocol):
    """Hears of calls and their answers, on the thread that makes them. It leaves out most of them by itself."""

    def sent(self) -> None:
        """A request goes out."""
        ...

    def received(self, response_dict: Mapping[str, Any]) -> None:
        """Its answer has come, with these ``headers`` by their names in lower case."""
        ...


class Listener(Protocol):
    """Follows what clients do."""

    def attach(self, client: Client) -> AnswerEar | None:
        """Follow ``client`` from now on, by its events; and by what is returned where a call makes no events."""
        ...


class Clients:
    """Makes botocore clients, one of each service, from one session; safe to share between threads."""

    def __init__(
        self,
        region: str,
        endpoint_url: str | None = None,
        meter: Meter | None = None,
        listener: Listener | None = None,
    ) -> None:
        """``endpoint_url`` replaces every service's own (an emulator's); ``meter`` counts all calls; ``listener`` is
        attached to every client too."""
        self._region = region
        self._endpoint_url = endpoint_url
        self._counts = meter is not None  # of events, which calls that are known do not make
        self._listeners = [each for each in (meter, listener) if each is not None]
        self._lock = threading.RLock()
        self._session: Any = None
        self._made: dict[tuple[str, float], Client] = {}

    def get(self, service: str, read_timeout_s: float = READ_TIMEOUT_S) -> Client:
        """The client of ``service`` (``dynamodb``, ``sqs``, ``events``, …) whose reads give up after this long."""
        found = self._made.get((service, read_timeout_s))
        if found is not None:
            return found
        with self._lock:
            if (service, read_timeout_s) not in self._made:
                # What is loaded stays, and a client's model is tens of thousands of objects that stay. A full
                # collection that walks them all takes 30 ms and more, in which no thread runs and no firing leaves.
                # The first freeze spares a cold start one halfway through the model, the second all later ones.
                gc.freeze()
                self._made[service, read_timeout_s] = self._make(service, read_timeout_s)
                gc.freeze()
            return self._made[service, read_timeout_s]

    def factory(self, service: str, read_timeout_s: float = READ_TIMEOUT_S) -> ClientFactory:
        """The same, as a function that makes the client when first called."""
        return lambda: self.get(service, read_timeout_s)

    def _make(self, service: str, read_timeout_s: float) -> Client:
        import botocore
        from botocore.config import Config

        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=read_timeout_s,
            max_pool_connections=POOL_CONNECTIONS_MAX,
            parameter_validation=False,
            tcp_keepalive=True,
            # Without one of our own botocore composes a long one twice for each call: a tenth of a worker's CPU time.
            user_agent=f"chronowatch/{VERSION} botocore/{botocore.__version__}",
            retries={"total_max_attempts": 1, "mode": "standard"},
        )
        if self._session is None:
            self._session = _session(self._endpoint_url)
        client = self._session.create_client(
            service, region_name=self._region, endpoint_url=self._endpoint_url, config=config
        )
        session = _send_directly(client, self._session, read_timeout_s)
        ears = [ear for listener in self._listeners if (ear := listener.attach(client)) is not None]
        if not self._counts:
            _call_directly(client, session, ears)
        return client


def _session(endpoint_url: str | None) -> Any:
    """A botocore session. An endpoint on this machine needs no real credentials, and must not wait for those that the
    metadata service of a cloud machine would give."""
    from botocore.session import get_session

    session = get_session()
    if endpoint_url is not None and urlsplit(endpoint_url).hostname in ("127.0.0.1", "localhost", "::1"):
        resolver = session.get_component("credential_provider")
        for provider in ("container-role", "iam-role"):
            resolver.remove(provider)
        if session.get_credentials() is None:
            session.set_credentials("test", "test")
    return session


def _call_directly(client: Client, session: HttpSession, ears: Sequence[AnswerEar]) -> None:
    """Let calls that the client has made once go past botocore, which takes four fifths of their time."""
    from chalicelib.adapters.aws.known_calls import KnownCalls

    KnownCalls(client, session, SystemClock(), ears)


def _send_directly(client: Client, session: Any, read_timeout_s: float) -> HttpSession:
    """Give the client a session of ours to send with, which takes a fraction of the time."""
    from botocore.httpsession import get_cert_path

    from chalicelib.adapters.aws.http_session import HttpSession

    own = HttpSession(
        client._endpoint.http_session,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        read_timeout_s=read_timeout_s,
        max_idle=POOL_CONNECTIONS_MAX,
        ca_file=session.get_config_variable("ca_bundle") or get_cert_path(True),
    )
    client._endpoint.http_session = own
    return own


def allow_break_off(client: Client) -> Callable[[], None]:
    """What ends all calls that a client has under way, and all that it makes later, with an error."""
    session: HttpSession = client._endpoint.http_session
    session.allow_break_off()
    return session.break_off


class Meter:
    """Counts calls by operation, and the capacity units that DynamoDB says it charges."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.units: Counter[str] = Counter()

    def attach(self, client: Client) -> None:
        """Count everything that ``client`` does from now on."""
        events = client.meta.events
        service = client.meta.service_model.service_name
        if service == "dynamodb":
            events.register(f"provide-client-params.{service}", _ask_for_capacity)
        events.register(f"after-call.{service}", self._count)

    def reset(self) -> None:
        """Begin again from nought."""
        with self._lock:
            self.calls.clear()
            self.units.clear()

    def _count(self, parsed: Mapping[str, Any], model: Any, **_: object) -> None:
        consumed = parsed.get("ConsumedCapacity") or []
        entries = consumed if isinstance(consumed, list) else [consumed]
        with self._lock:
            self.calls[model.name] += 1
            for entry in entries:
                self.units[f"{model.name} {entry.get('TableName', '?')}"] += entry.get("CapacityUnits", 0)


def _ask_for_capacity(params: dict[str, Any], model: Any, **_: object) -> None:
    if model.input_shape is not None and "ReturnConsumedCapacity" in model.input_shape.members:
        params["ReturnConsumedCapacity"] = "INDEXES"


def read(call: Callable[[], T]) -> T:
    """The answer of a call that changes nothing, repeated while it fails in passing. Raises Unavailable."""
    return _repeated(call, _judge_read)


def write(call: Callable[[], T]) -> T:
    """The answer of a call that changes something. Raises Unavailable when nothing was written and OutcomeUnknown when
    it may have been; repeats only what certainly did not happen. Errors about the content (a failed condition, a
    cancelled transaction) come out as botocore raised them."""
    return _repeated(call, _judge_write)


def write_idempotent(call: Callable[[], T]) -> T:
    """As ``write``, for a call that may be repeated whatever became of it: it carries a token, or overwrites."""
    return _repeated(call, _judge_idempotent)


def _repeated(call: Callable[[], T], judge: Callable[[Exception], tuple[Exception, bool]]) -> T:
    unknown: Exception | None = None
    timeouts = 0
    for attempt in range(ATTEMPTS_MAX):
        try:
            return call()
        except Exception as raised:
            cause = cause_of(raised)
            failure, repeat = judge(cause)
            timeouts += type(cause).__name__ == "ReadTimeoutError"
            if isinstance(failure, OutcomeUnknown):
                unknown = failure
            if not repeat or attempt == ATTEMPTS_MAX - 1 or timeouts == TIMEOUTS_MAX:
                # Once a try may have been written, a later refusal does not say that nothing was.
                chosen = unknown if unknown is not None and isinstance(failure, Unavailable) else failure
                if chosen is raised:
                    raise
                raise chosen from raised
        pause(PAUSE_FIRST_MS << attempt)
    raise AssertionError("unreachable")


def cause_of(error: Exception) -> Exception:
    """The botocore error behind what pynamodb raised (which leaves out half of the answer), or the error itself."""
    cause = getattr(error, "cause", None)
    if not isinstance(cause, Exception):
        return error
    # An answer's error was wrapped once more on its way; what stands behind an error without an answer is a socket's.
    wrapped = cause.__cause__
    return wrapped if isinstance(wrapped, Exception) and hasattr(wrapped, "response") else cause


def code_of(error: Exception) -> str:
    """The service's error code, or ''."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def reasons_of(error: Exception) -> list[str]:
    """Why each item of a cancelled transaction was refused ("None": it was not), or nothing for any other error."""
    response = getattr(cause_of(error), "response", None) or {}
    return [str(reason.get("Code")) for reason in response.get("CancellationReasons", ())]


def _judge_read(error: Exception) -> tuple[Exception, bool]:
    failure = translate(error)
    repeat = isinstance(failure, OutcomeUnknown) or (
        isinstance(failure, Unavailable) and code_of(error) not in REFUSALS
    )
    return (Unavailable(failure.detail) if isinstance(failure, OutcomeUnknown) else failure), repeat


def _judge_write(error: Exception) -> tuple[Exception, bool]:
    failure = translate(error)
    certain = isinstance(failure, Unavailable) and not isinstance(failure, OutcomeUnknown)
    return failure, certain and code_of(error) not in REFUSALS


def _judge_idempotent(error: Exception) -> tuple[Exception, bool]:
    failure = translate(error)
    return failure, isinstance(failure, Unavailable) and code_of(error) not in REFUSALS


def translate(error: Exception) -> Exception:
    """What a failed call means: ``Unavailable`` (nothing was written) or ``OutcomeUnknown`` (it may have been). Or the
    error itself, when it is about the content of the request."""
    from botocore import exceptions

    text = f"{type(error).__name__}: {error}"
    if isinstance(error, exceptions.ClientError):
        return _translate_answer(error, text)
    unsent = (
        exceptions.ConnectTimeoutError,
        exceptions.EndpointConnectionError,
        exceptions.ProxyConnectionError,
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
    )
    if isinstance(error, unsent):
        return Unavailable(text)
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError | exceptions.ResponseStreamingError):
        return OutcomeUnknown(text)
    return error


def _translate_answer(error: Any, text: str) -> Exception:
    code = code_of(error)
    if code == "TransactionCanceledException":
        return _translate_cancelled(error, text)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in THROTTLES or code in REFUSALS:
        return Unavailable(text)
    # 5xx: the service says that it does not know either. TransactionInProgress: an earlier try of ours is under way.
    if status >= 500 or code == "TransactionInProgressException":
        return OutcomeUnknown(text)
    return _as_raised(error)


def _translate_cancelled(error: Any, text: str) -> Exception:
    """A cancelled transaction wrote nothing: worth repeating when no condition failed and an item was merely busy."""
    reasons = set(reasons_of(error)) - {"None"}
    passing = bool(reasons) and reasons <= THROTTLES
    return Unavailable(text) if passing else _as_raised(error)


def _as_raised(error: Any) -> Exception:
    assert isinstance(error, Exception)
    return error
