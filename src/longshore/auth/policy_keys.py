"""The condition keys that requests here have, so that a policy cannot lean on one that nobody fills.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

from typing import Final

#: Followed by the key of a tag.
_OF_TAGS: Final = ("aws:principaltag/", "aws:requesttag/", "aws:resourcetag/", "iam:resourcetag/")
_FILLED: Final = frozenset(
    {
        *("aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:principalisawsservice"),
        *("aws:userid", "aws:username", "aws:tokenissuetime", "aws:multifactorauthpresent"),
        *("aws:requestedregion", "aws:resourceaccount", "aws:tagkeys", "aws:viaawsservice"),
        *("aws:currenttime", "aws:epochtime", "aws:securetransport", "aws:sourceip", "aws:useragent"),
        *("iam:passedtoservice", "iam:policyarn", "sts:externalid", "sts:rolesessionname"),
        *("s3:prefix", "s3:delimiter", "s3:max-keys", "s3:versionid"),
    }
)
#: Known to AWS, and truly in no request here: there is no network of AWS's, no organization, no federation, no MFA; no
#: service of AWS calls for somebody; an object's access list or encryption cannot be asked for.
_NEVER_THERE: Final = frozenset(
    {
        *("aws:sourcevpc", "aws:sourcevpce", "aws:sourcevpcarn", "aws:vpcsourceip"),
        *("aws:ec2instancesourcevpc", "aws:ec2instancesourceprivateipv4"),
        *("aws:principalorgid", "aws:principalorgpaths", "aws:resourceorgid", "aws:resourceorgpaths"),
        *("aws:sourceorgid", "aws:sourceorgpaths", "aws:sourceaccount", "aws:sourcearn"),
        *("aws:calledvia", "aws:calledviafirst", "aws:calledvialast"),
        *("aws:principalservicename", "aws:principalservicenameslist"),
        *("aws:federatedprovider", "aws:sourceidentity", "aws:multifactorauthage"),
        *("iam:associatedresourcearn", "iam:awsservicename", "iam:permissionsboundary"),
        *("sts:sourceidentity", "sts:transitivetagkeys", "sts:awsservicename"),
        *("s3:x-amz-acl", "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
    }
)
#: Whose keys are known here. Of another service's nobody can know; nothing here is about it.
_SERVICES: Final = frozenset({"aws", "codedeploy", "codedeploy-commands-secure", "iam", "longshore", "s3", "sts"})


def is_heeded(key: str) -> bool:
    """Whether what a condition says of this key (in lower case) is true of requests here, be it that none has it."""
    if key in _FILLED or key in _NEVER_THERE:
        return True
    if key.startswith(_OF_TAGS):
        return "${" not in key and key.partition("/")[2] != ""
    return key.partition(":")[0] not in _SERVICES
