"""How things are named on the wire: deployment ids and ARNs (server.md S1.6–S1.10)."""

from __future__ import annotations

import secrets
import string
import uuid
from dataclasses import dataclass

_ID_LETTERS = string.ascii_uppercase + string.digits
_KEY_LETTERS = string.ascii_uppercase + "234567"
#: How the ids of enrollment tokens begin.
ENROLLMENT_TOKEN = "LSET"  # noqa: S105  # no secret
_SECRET_LETTERS = string.ascii_letters + string.digits + "+/"


def new_deployment_id() -> str:
    """A fresh deployment id, ``d-`` and nine capitals or digits."""
    # One draw for all nine: each draw asks the kernel.
    number = secrets.randbelow(len(_ID_LETTERS) ** 9)
    letters = ""
    for _ in range(9):
        number, letter = divmod(number, len(_ID_LETTERS))
        letters += _ID_LETTERS[letter]
    return f"d-{letters}"


def new_id() -> str:
    """A fresh id for an application, a deployment group or a custom deployment config."""
    return str(uuid.uuid4())


def new_principal_id(prefix: str) -> str:
    """A fresh id of an IAM user (``AIDA``) or role (``AROA``)."""
    return prefix + "".join(secrets.choice(_KEY_LETTERS) for _ in range(17))


def new_access_key_id(prefix: str) -> str:
    """A fresh id of a lasting key (``AKIA``) or a temporary one (``ASIA``), shaped like AWS's: tools check the form."""
    return prefix + "".join(secrets.choice(_KEY_LETTERS) for _ in range(16))


def new_enrollment_token_id() -> str:
    """A fresh id of an enrollment token: like a key's, for it signs, and not to be taken for one."""
    return ENROLLMENT_TOKEN + "".join(secrets.choice(_KEY_LETTERS) for _ in range(16))


def new_secret_access_key() -> str:
    return "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40))


@dataclass(frozen=True, slots=True)
class Scope:
    """The account and region that a thing lives in; things of two scopes never see each other."""

    #: Twelve digits.
    account: str
    region: str

    def application_arn(self, application: str) -> str:
        return f"arn:aws:codedeploy:{self.region}:{self.account}:application:{application}"

    def deployment_group_arn(self, application: str, group: str) -> str:
        return f"arn:aws:codedeploy:{self.region}:{self.account}:deploymentgroup:{application}/{group}"

    def deployment_config_arn(self, config: str) -> str:
        return f"arn:aws:codedeploy:{self.region}:{self.account}:deploymentconfig:{config}"

    def new_instance_arn(self, name: str) -> str:
        """An on-premises instance's ARN: its name and ten random letters (S1.9): a name used again is another host."""
        suffix = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(10))
        return f"arn:aws:codedeploy:{self.region}:{self.account}:instance/{name}_{suffix}"

    def ec2_instance_arn(self, instance_id: str) -> str:
        return f"arn:aws:ec2:{self.region}:{self.account}:instance/{instance_id}"

    def host(self, identifier: str) -> str:
        """Who polls with this identifier here; a host that is registered in two regions is two hosts."""
        return f"{self.region}/{identifier}"
