"""Operations on instance profiles: how a role comes to an instance of EC2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longshore.api.iam import roles
from longshore.api.iam.errors import already_exists, delete_conflict, limit_exceeded, no_such_entity
from longshore.api.iam.existing import existing, shown_tags, tags_of
from longshore.api.iam.pages import page_of
from longshore.api.operations import Call, reads, writes
from longshore.domain.ids import new_principal_id
from longshore.store import instance_profiles, principals
from longshore.store.instance_profiles import InstanceProfile


@writes("CreateInstanceProfile")
def create_instance_profile(call: Call, asked: dict[str, Any]) -> Any:
    name = asked["InstanceProfileName"]
    if instance_profiles.is_taken(call.tx, call.scope.account, name):
        raise already_exists(f"Instance Profile {name} already exists.")
    profile = InstanceProfile(
        id=new_principal_id("AIPA"),
        account=call.scope.account,
        name=name,
        path=asked.get("Path", "/"),
        create_time=call.now,
        tags=tags_of(asked.get("Tags", ()), call.limits.tags_per_resource),
    )
    instance_profiles.add(call.tx, profile)
    return {"InstanceProfile": _shown(call, profile)}


@reads("GetInstanceProfile")
def get_instance_profile(call: Call, asked: dict[str, Any]) -> Any:
    return {"InstanceProfile": _shown(call, _existing(call, asked))}


@reads("ListInstanceProfiles")
def list_instance_profiles(call: Call, asked: dict[str, Any]) -> Any:
    found = instance_profiles.under(call.tx, call.scope.account, asked.get("PathPrefix", "/"))
    return _listed(call, "ListInstanceProfiles", asked, found)


@reads("ListInstanceProfilesForRole")
def list_instance_profiles_for_role(call: Call, asked: dict[str, Any]) -> Any:
    role = existing(call, "role", asked["RoleName"])
    found = instance_profiles.with_role(call.tx, role.id)
    return _listed(call, "ListInstanceProfilesForRole", asked, found)


@writes("AddRoleToInstanceProfile")
def add_role_to_instance_profile(call: Call, asked: dict[str, Any]) -> None:
    """Instances that have the profile get the role's keys from now on."""
    profile, role = _existing(call, asked), existing(call, "role", asked["RoleName"])
    if profile.role_id is not None:
        raise limit_exceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
    instance_profiles.put_role(call.tx, profile, role.id)


@writes("RemoveRoleFromInstanceProfile")
def remove_role_from_instance_profile(call: Call, asked: dict[str, Any]) -> None:
    """Instances keep the keys that they have until those end."""
    profile, role = _existing(call, asked), existing(call, "role", asked["RoleName"])
    if profile.role_id != role.id:
        raise no_such_entity(f"Role {role.name} in Instance Profile {profile.name} cannot be found.")
    instance_profiles.put_role(call.tx, profile, None)


@writes("DeleteInstanceProfile")
def delete_instance_profile(call: Call, asked: dict[str, Any]) -> None:
    profile = _existing(call, asked)
    if profile.role_id is not None:
        raise delete_conflict("Cannot delete entity, must remove roles from instance profile first.")
    instance_profiles.remove(call.tx, profile)


def _existing(call: Call, asked: dict[str, Any]) -> InstanceProfile:
    name = asked["InstanceProfileName"]
    found = instance_profiles.find(call.tx, call.scope.account, name)
    if found is None:
        raise no_such_entity(f"Instance Profile {name} cannot be found.")
    return found


def _listed(call: Call, operation: str, asked: dict[str, Any], found: Sequence[InstanceProfile]) -> Any:
    shown, more = page_of(call, operation, asked, list(found), lambda profile: profile.name)
    # As AWS: a list has no tags.
    return {"InstanceProfiles": [{**_shown(call, profile), "Tags": None} for profile in shown], **more}


def _shown(call: Call, profile: InstanceProfile) -> dict[str, Any]:
    role = principals.get(call.tx, profile.role_id) if profile.role_id is not None else None
    return {
        "Path": profile.path,
        "InstanceProfileName": profile.name,
        "InstanceProfileId": profile.id,
        "Arn": profile.arn,
        "CreateDate": profile.create_time,
        "Roles": [{**roles.shown(role), "Tags": None}] if role is not None else [],
        "Tags": shown_tags(profile.tags) or None,
    }
