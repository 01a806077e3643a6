"""What AWS's users may have and nobody here has: groups, MFA devices, passwords and the like.

There is none, and that is the answer: tools look for each before they delete a user, and go on.
"""

from __future__ import annotations

from typing import Any, NoReturn

from longshore.api.iam.errors import no_such_entity
from longshore.api.iam.existing import existing
from longshore.api.operations import Call, reads, writes


def _none(call: Call, asked: dict[str, Any], member: str) -> dict[str, Any]:
    if "UserName" in asked:
        existing(call, "user", asked["UserName"])
    return {member: [], "IsTruncated": False}


@reads("ListAccountAliases")
def list_account_aliases(call: Call, asked: dict[str, Any]) -> Any:
    return _none(call, asked, "AccountAliases")


@reads("ListGroups")
def list_groups(call: Call, asked: dict[str, Any]) -> Any:
    return _none(call, asked, "Groups")


@reads("ListGroupsForUser")
def list_groups_for_user(call: Call, asked: dict[str, Any]) -> Any:
    return _none(call, asked, "Groups")


@reads("ListMFADevices")
def list_mfa_devices(call: Call, asked: dict[str, Any]) -> Any:
    return _none(call, asked, "MFADevices")


@reads("ListSSHPublicKeys")
def list_ssh_public_keys(call: Call, asked: dict[str, Any]) -> Any:
    return _none(call, asked, "SSHPublicKeys")


@reads("ListServiceSpecificCredentials")
def list_service_specific_credentials(call: Call, asked: dict[str, Any]) -> Any:
    return _none(call, asked, "ServiceSpecificCredentials")


@reads("ListSigningCertificates")
def list_signing_certificates(call: Call, asked: dict[str, Any]) -> Any:
    return _none(call, asked, "Certificates")


@reads("ListVirtualMFADevices")
def list_virtual_mfa_devices(call: Call, asked: dict[str, Any]) -> Any:
    return _none(call, asked, "VirtualMFADevices")


@reads("GetLoginProfile")
def get_login_profile(call: Call, asked: dict[str, Any]) -> Any:
    raise _no_password(call, asked)


@writes("DeleteLoginProfile")
def delete_login_profile(call: Call, asked: dict[str, Any]) -> NoReturn:
    raise _no_password(call, asked)


def _no_password(call: Call, asked: dict[str, Any]) -> Exception:
    name = asked.get("UserName") or call.user_name or ""
    if name:
        existing(call, "user", name)
    return no_such_entity(f"Login Profile for User {name} cannot be found.")
