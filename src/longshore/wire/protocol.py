"""What every AWS protocol is to the endpoint: where a request names its operation, how values and errors are written.

One file a protocol (`aws_json`, `aws_query`, `rpc_v2_cbor`) holds both directions of it. In Python a timestamp is epoch
seconds as a float, a blob is bytes, and an absent member is absent, whichever protocol it came by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes

from botocore.model import OperationModel, ServiceModel

from longshore.wire.service import AwsError, Service
from longshore.wire.shapes import Plans

#: How deep a body may nest. The models go about ten deep; Python's own limit depends on how deep its caller is.
MAX_DEPTH = 64

#: What to do about an operation that is not here: most often a client was pointed here for another service.
LOOK_UP = "docs/compatibility.md lists what is; other services need an AWS_ENDPOINT_URL_<SERVICE> of their own."

Plan = Callable[[Any], Any]


class MalformedError(Exception):
    """A body that is not of its protocol, or not of its operation's shape. The message is fit for the client."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        #: Built from the inside out while the error rises.
        self.path: list[str | int] = []

    def __str__(self) -> str:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in reversed(self.path))
        return f"{where.lstrip('.')[:200]}: {self.problem}" if where else self.problem


class WrongOutputError(TypeError):
    """An operation returned what its model does not have: our bug, never the client's."""


class Request(NamedTuple):
    """One HTTP request, as it came."""

    method: str
    #: Path and query as they stood on the wire, still escaped.
    path: str
    query: str
    #: By lower-case name.
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """An HTTP answer, but for what every answer carries."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Codec:
    """One operation in one protocol."""

    #: The input in a request. Raises MalformedError.
    decode: Callable[[Request], dict[str, Any]]
    #: The body that says this output; the second argument is the request's id. Raises WrongOutputError.
    encode: Callable[[Mapping[str, Any], str], bytes]
    #: Content types a request's body may be said to have; any, when empty.
    content_types: frozenset[str]
    #: Headers of an answer that is no error.
    headers: Sequence[tuple[bytes, bytes]]


class Protocol(ABC):
    """One protocol, for those of some services that speak it."""

    #: What service models call it.
    name: ClassVar[str]
    #: HTTP methods a request may use.
    methods: ClassVar[frozenset[str]] = frozenset({"POST"})

    def __init__(self, services: Iterable[Service]) -> None:
        self.services = tuple(service for service in services if self.name in protocols_of(service.model))

    @abstractmethod
    def is_in(self, headers: Mapping[str, str], query: str) -> bool:
        """Does a request of these headers mean to be in this protocol? Whether it is right is found out later."""

    @abstractmethod
    def asks_for(self, request: Request) -> str:
        """The operation a request names, in this protocol's words; "" when it names none."""

    @abstractmethod
    def find(self, asked: str) -> tuple[Service, OperationModel]:
        """The operation that `asks_for` heard of. Raises AwsError when there is none."""

    @abstractmethod
    def codec(self, service: Service, operation: OperationModel) -> Codec: ...

    @abstractmethod
    def error(self, error: AwsError, request_id: str, operation: OperationModel | None) -> Answer:
        """An error as this protocol says it; `operation` is None where the request did not get that far."""


def protocols_of(model: ServiceModel) -> Sequence[str]:
    """The protocols a service speaks, by its model."""
    spoken: Sequence[str] = model.metadata.get("protocols") or (model.metadata["protocol"],)
    return spoken


def operation_of(service: Service, name: str) -> OperationModel | None:
    """The model of a service's operation; None when it has none of this name."""
    return service.model.operation_model(name) if name in service.model.operation_names else None


def unknown_operation(asked: str) -> AwsError:
    """The error of a request for an operation that nothing here serves; `asked` is how the request named it."""
    return AwsError("UnknownOperationException", f"No operation {asked[:200]!r} is served here. {LOOK_UP}", 404)


class PlansByService:
    """The plans of one protocol, one set for each service's model."""

    def __init__(self, services: Iterable[Service], decoders: type[Plans[Any]], encoders: type[Plans[Any]]) -> None:
        self._decoders = {service.model.service_name: decoders() for service in services}
        self._encoders = {service.model.service_name: encoders() for service in services}

    def decoder(self, service: Service, operation: OperationModel) -> Plan:
        """What makes an input of a parsed request; operations without one ignore what is there."""
        shape = operation.input_shape
        return _nothing if shape is None else self._decoders[service.model.service_name].plan(shape)

    def encoder(self, service: Service, operation: OperationModel) -> Plan:
        """What makes a document of an output; an operation without one may only return nothing."""
        shape = operation.output_shape
        return _only_nothing(operation) if shape is None else self._encoders[service.model.service_name].plan(shape)


def _nothing(_node: Any) -> dict[str, Any]:
    return {}


def _only_nothing(operation: OperationModel) -> Plan:
    def encode(value: Any) -> dict[str, Any]:
        if value:
            raise WrongOutputError(f"{operation.name} has no output, but its handler returned one")
        return {}

    return encode


def expected(what: str, found: str) -> NoReturn:
    """Refuse a value for what it is."""
    raise MalformedError(f"expected {what}, found {found}")


def whole(number: int, bits: int) -> int:
    """A number that fits into so many bits. Raises MalformedError."""
    if not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
        raise MalformedError(f"the number does not fit into {bits} bits")
    return number


def time_from_text(text: str) -> float:
    """Epoch seconds of a time in ISO 8601; one without a zone is in UTC. Raises MalformedError."""
    try:
        moment = datetime.fromisoformat(text)
        return in_our_years((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise MalformedError("expected a time, in epoch seconds or ISO 8601") from None


def in_our_years(seconds: float) -> float:
    """Epoch seconds that a calendar can show. Raises MalformedError."""
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise MalformedError("the time is outside the years 1 to 9999; it must be in epoch seconds")
    return seconds


_FIRST_SECOND = datetime(1, 1, 1, tzinfo=UTC).timestamp()
#: Its last millisecond: times are told to the millisecond.
_LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC).timestamp()


def signing_name(authorization: bytes, query: bytes) -> str | None:
    """The service a signature says it is for, in the header or a presigned URL; None when there is no SigV4 signature.

    Nothing is verified here: the application chosen does that.
    """
    _, found, credential = authorization.partition(b"Credential=")
    end = b","
    if not found:
        _, found, credential = query.partition(b"X-Amz-Credential=")
        end = b"&"
    # <key id>/<date>/<region>/<service>/aws4_request; a presigned URL usually escapes the slashes.
    parts = unquote_to_bytes(credential.partition(end)[0]).split(b"/")
    if len(parts) < _CREDENTIAL_PARTS or parts[-1] != b"aws4_request":
        return None
    return parts[-2].decode("latin-1")


_CREDENTIAL_PARTS = 5
