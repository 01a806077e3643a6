"""Calls to AWS by a deployment group's service role: assumed when it is needed, errors sorted (`ports.Access`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
from botocore.credentials import Credentials, DeferredRefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from longshore.providers.clients import Clients
from longshore.providers.ports import (
    Access,
    AutoScalingRightsError,
    LimitReachedError,
    NoBalancerError,
    PermanentError,
    ProviderError,
    RoleMissingError,
    RoleRightsError,
    ThrottledError,
    TransientError,
)

#: What sessions of service roles are called.
SESSION_NAME = "codedeploy"
#: Roles and regions whose clients are kept: each is some megabytes.
_MOST_SESSIONS = 64

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "DependencyThrottle",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
#: The key is no longer one: it ended, or its role is gone and perhaps there again.
_STALE = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure"}
)
_LATER = _STALE | {
    "HealthUnavailable",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "OperationInProgress",
    "RequestExpired",
    "RequestTimeout",
    "RequestTimeoutException",
    "ResourceContention",
    "ResourceInUse",
    "ScalingActivityInProgress",
    "ServiceUnavailable",
    "Unavailable",
}
_FORBIDDEN = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedAccess", "UnauthorizedOperation"}
)
_NO_BALANCER = frozenset({"LoadBalancerNotFound", "TargetGroupNotFound"})
_TOO_MANY = frozenset({"LimitExceeded", "TooManyTargets", "TooManyRegistrationsForTargetId"})
#: No such operation there, as an emulator says it; its 501 is not one that passes.
_NOT_DONE = frozenset({"InvalidAction", "NotImplemented", "UnknownOperationException"})


class RefusedError(PermanentError):
    """The service will not do it, for a reason of its own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        #: The code of its answer.
        self.reason = code

    @property
    def is_not_done(self) -> bool:
        """Whether the service does not know the operation at all."""
        return self.reason in _NOT_DONE


class UnreadableError(TransientError):
    """What answers does not speak as AWS does: something in between, or an emulator that knows no such operation."""


class ServiceRoles:
    """Calls services as `ports.Access` says; a client a service, account, region and role."""

    def __init__(self, clients: Clients) -> None:
        """`clients` are the control plane's own: by them the roles are assumed."""
        self._clients = clients
        self._sessions: dict[Access, botocore.session.Session] = {}
        self._made: dict[tuple[str, Access], Any] = {}
        self._lock = threading.Lock()

    def call(self, access: Access, service: str, operation: str, **asked: Any) -> Any:
        """One call; `operation` is spelled as boto3 spells its methods.

        Raises:
            ProviderError: as `Access` says; NoBalancerError, LimitReachedError and RefusedError besides.
        """
        try:
            return getattr(self._client(service, access), operation)(**asked)
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise self._sorted(error, access, service) from error

    def pages(self, access: Access, service: str, operation: str, **asked: Any) -> Iterator[Any]:
        """The pages of a call's answer. Raises as `call` does."""
        try:
            yield from self._client(service, access).get_paginator(operation).paginate(**asked)
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            raise self._sorted(error, access, service) from error

    def _client(self, service: str, access: Access) -> Any:
        with self._lock:
            made = self._made.get((service, access))
            if made is None:
                if access not in self._sessions:
                    if len(self._sessions) >= _MOST_SESSIONS:
                        self._sessions.clear()
                        self._made.clear()
                    self._sessions[access] = self._session(access)
                made = self._clients.of_session(self._sessions[access], service, access.scope.region)
                self._made[service, access] = made
            return made

    def _session(self, access: Access) -> botocore.session.Session:
        """A session whose key is one of the service role: assumed at the first call, and anew before it ends."""

        def assumed() -> dict[str, Any]:
            sts = self._clients.client("sts", access.scope)
            key = sts.assume_role(RoleArn=access.role_arn, RoleSessionName=SESSION_NAME)["Credentials"]
            return {
                "access_key": key["AccessKeyId"],
                "secret_key": key["SecretAccessKey"],
                "token": key["SessionToken"],
                "expiry_time": key["Expiration"].isoformat(),
            }

        session = self._clients.session()
        session.register_component("credential_provider", _Assumed(assumed))
        return session

    def _forget(self, access: Access) -> None:
        with self._lock:
            self._sessions.pop(access, None)
            for service, known in list(self._made):
                if known == access:
                    del self._made[service, known]

    def _sorted(
        self, error: ClientError | BotoCoreError | ResponseParserError, access: Access, service: str
    ) -> ProviderError:
        if not isinstance(error, ClientError):
            if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
                return RoleRightsError(f"the server has no AWS credentials to assume {access.role_arn} with: {error}")
            if isinstance(error, ParamValidationError):
                return RefusedError("ValidationError", f"{service}: {error}")
            if isinstance(error, ResponseParserError):
                return UnreadableError(f"{service} gives an answer that cannot be read: {error}")
            return TransientError(f"{service} gives no answer: {error}")
        if error.operation_name == "AssumeRole":
            return self._not_assumed(error, access)
        answer = error.response["Error"]
        code, status = answer.get("Code", ""), error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        said = f"{service} answers {code} to {error.operation_name}: {answer.get('Message', '')}"
        if code in _STALE:
            self._forget(access)
        if code in _THROTTLED:
            return ThrottledError(said)
        if code in _LATER or (status >= 500 and code not in _NOT_DONE):
            return TransientError(said)
        if code in _FORBIDDEN:
            return AutoScalingRightsError(said) if service == "autoscaling" else RoleRightsError(said)
        if code in _NO_BALANCER:
            return NoBalancerError(said)
        if code in _TOO_MANY:
            return LimitReachedError(said)
        return RefusedError(code, said)

    def _not_assumed(self, error: ClientError, access: Access) -> ProviderError:
        """Why a role could not be assumed: STS does not say whether there is one."""
        answer = error.response["Error"]
        code = answer.get("Code", "")
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        said = f"{access.role_arn} cannot be assumed: {answer.get('Message', '')}"
        if code in _THROTTLED:
            return ThrottledError(said)
        if code in ("ValidationError", "NoSuchEntity"):
            return RoleMissingError(said)
        if code not in _FORBIDDEN:
            return TransientError(said) if code in _LATER or status >= 500 else RoleRightsError(said)
        try:
            self._clients.client("iam", access.scope).get_role(RoleName=access.role_arn.rpartition("/")[2])
        except ClientError as unseen:
            if unseen.response["Error"].get("Code") == "NoSuchEntity":
                return RoleMissingError(f"there is no role {access.role_arn}")
        except (BotoCoreError, ResponseParserError):
            pass  # Whether it is there was asked for the sake of the message alone.
        return RoleRightsError(
            f"{said} Does its trust policy name codedeploy.amazonaws.com, or else the principal whose"
            " key the server has?"
        )


class _Assumed:
    """What botocore asks for a session's credentials."""

    def __init__(self, assumed: Callable[[], dict[str, Any]]) -> None:
        self._credentials = DeferredRefreshableCredentials(refresh_using=assumed, method="assume-role")

    def load_credentials(self) -> Credentials:
        return self._credentials
