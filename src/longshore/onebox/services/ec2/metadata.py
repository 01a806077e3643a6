"""What an instance is told about itself: the paths of the metadata service, and what stands at each.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from longshore.onebox.machinery.records import Owner
from longshore.onebox.services.ec2.images import architecture
from longshore.onebox.services.ec2.ports import Profile, RoleCredentials
from longshore.onebox.services.ec2.values import Instance

#: What stands at a path, or what makes it when it is asked for.
Text = str | bytes | Callable[[], str]

_VERSION = re.compile("/(?:latest|[0-9]{4}-[0-9]{2}-[0-9]{2}|1[.]0)(?=/|$)")


def paths(
    owner: Owner,
    instance: Instance,
    *,
    groups: tuple[str, ...],
    profile: Profile | None,
    credentials: Callable[[], str],
) -> dict[str, Text]:
    """Everything that this instance may ask for."""
    found: dict[str, Text] = {
        "dynamic/instance-identity/document": _document(owner, instance),
        "meta-data/ami-id": instance.image,
        "meta-data/ami-launch-index": str(instance.index),
        "meta-data/hostname": instance.private_dns_name,
        "meta-data/instance-action": "none",
        "meta-data/instance-id": instance.id,
        "meta-data/instance-life-cycle": "on-demand",
        "meta-data/instance-type": instance.type,
        "meta-data/local-hostname": instance.private_dns_name,
        "meta-data/local-ipv4": instance.private_ip or "",
        "meta-data/placement/availability-zone": instance.zone,
        "meta-data/placement/region": owner.region,
        "meta-data/reservation-id": instance.reservation,
        "meta-data/security-groups": "\n".join(groups),
        "meta-data/services/domain": "amazonaws.com",
        "meta-data/services/partition": "aws",
    }
    if profile is not None:
        found["meta-data/iam/info"] = json.dumps(
            {
                "Code": "Success",
                "LastUpdated": _moment(instance.launch_time),
                "InstanceProfileArn": profile.arn,
                "InstanceProfileId": profile.id,
            }
        )
        if profile.role is not None:
            found[f"meta-data/iam/security-credentials/{profile.role}"] = credentials
    if instance.metadata_has_tags:
        found |= {f"meta-data/tags/instance/{key}": value for key, value in instance.tags.items()}
    if instance.user_data is not None:
        found["user-data"] = base64.b64decode(instance.user_data)
    return found


def at(known: Mapping[str, Text], path: str) -> str | bytes | None:
    """What stands at a path: a text, or the names below it, a line each; None for nothing."""
    version = _VERSION.match(path)
    if version is None:
        return None
    wanted = path[version.end() :].strip("/")
    if (said := known.get(wanted)) is not None:
        return said() if callable(said) else said
    below = f"{wanted}/" if wanted else ""
    names: dict[str, None] = {}
    for one in known:
        if one.startswith(below):
            name, has_more, _ = one[len(below) :].partition("/")
            names[f"{name}/" if has_more else name] = None
    return "\n".join(names) or None


def shown_credentials(keys: RoleCredentials) -> str:
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": _moment(keys.issued_at),
            "Type": "AWS-HMAC",
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.session_token,
            "Expiration": _moment(keys.expires_at),
        }
    )


def refused_credentials(reason: str, now: float) -> str:
    """What is said where there are none: the instance's profile or its role is not right."""
    return json.dumps({"Code": "AssumeRoleUnauthorizedAccess", "Message": reason, "LastUpdated": _moment(now)})


def _document(owner: Owner, instance: Instance) -> str:
    told: dict[str, Any] = {
        "accountId": owner.account,
        "architecture": architecture(),
        "availabilityZone": instance.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.type,
        "kernelId": None,
        "marketplaceProductCodes": None,
        "pendingTime": _moment(instance.launch_time),
        "privateIp": instance.private_ip,
        "ramdiskId": None,
        "region": owner.region,
        "version": "2017-09-30",
    }
    return json.dumps(told, indent=2)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
