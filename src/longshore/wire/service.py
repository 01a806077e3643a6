"""A service as the wire sees it: a model, and the functions that answer its operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.model import OperationModel, ServiceModel

from longshore.wire.constraints import Overlay, Violation


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who signed a request; every row it touches belongs to this account and region."""

    #: Twelve digits.
    account: str
    #: The region of the signature's credential scope.
    region: str
    #: The principal, e.g. ``arn:aws:iam::000000000000:user/web-1``.
    arn: str
    access_key_id: str
    #: What it polls by as a host, where that is not its ARN.
    host: str | None = None

    @property
    def host_identifier(self) -> str:
        """What it is called by the service that agents poll."""
        return self.host or self.arn


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One authenticated call of one operation."""

    caller: Caller
    request_id: str
    #: Epoch seconds at which the request arrived; operations read no other clock.
    now: float
    service: str
    operation: str
    #: Request headers by lower-case name, for the few that carry meaning (the agent's version).
    headers: Mapping[str, str]
    #: The address the request came from, as the connection has it; "" where there is none.
    source: str = ""
    #: Whether the connection is TLS.
    is_secure: bool = False


class AwsError(Exception):
    """An error as an AWS client will see it: a code of the service's model, a sentence, an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A request that has its answer, and what is known of it."""

    request_id: str
    #: Epoch seconds at which it came, and how many seconds the answer took.
    now: float
    seconds: float
    #: Of HTTP.
    status: int
    #: None when it did what was asked.
    error: AwsError | None
    #: The address it came from, as the connection has it; "" where there is none.
    source: str
    #: Names of the model; "" where the request named nothing that is known.
    service: str
    operation: str
    headers: Mapping[str, str]
    #: None when nobody was identified.
    caller: Caller | None
    #: The decoded input; None when it was not looked at, or not fit to be.
    given: Mapping[str, Any] | None
    output: Mapping[str, Any] | None

    @property
    def code(self) -> str:
        """The error's, or ""."""
        return self.error.code if self.error is not None else ""


class Observer:
    """Hears of every answer of an endpoint. This one does nothing with it."""

    def answered(self, answer: Answered) -> None:
        """A request is about to be answered. On the path of every call: be quick."""

    async def refused(self, answer: Answered) -> None:
        """A request is about to be answered with an error; the answer waits for this."""

    async def changed(self, answer: Answered) -> None:
        """A request changed something that its service keeps no record of; the answer waits for this."""


#: Answers one operation: the decoded input (members by model name) in, the output members out.
Handler = Callable[[Call, dict[str, Any]], Awaitable[Mapping[str, Any] | None]]

#: Says which error of the service a broken constraint is. The wire knows no service by name, so each brings its own.
Explainer = Callable[[OperationModel, Violation], AwsError]

#: May this caller do this to what the input names? Raises AwsError when not. The input is of the right types, but its
#: constraints are not checked yet.
Authorizer = Callable[[Call, Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the endpoint needs to serve one AWS service."""

    model: ServiceModel
    handlers: Mapping[str, Handler]
    explain: Explainer
    #: Names a credential scope may carry for this service.
    signing_names: frozenset[str]
    #: Values of X-Amz-Target before the dot that mean this service; none where its protocol has no such header.
    target_prefixes: frozenset[str] = frozenset()
    #: Operations that may wait long for their answer; theirs is given up when the client hangs up.
    waits: frozenset[str] = frozenset()
    #: Operations that change something and keep no record of it themselves: the observer does.
    unrecorded: frozenset[str] = frozenset()
    #: Constraints the service documents and its model leaves out.
    overlay: Overlay = field(default_factory=dict)
