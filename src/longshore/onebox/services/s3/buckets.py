"""Operations on buckets."""

from __future__ import annotations

import re

from longshore.onebox.machinery.objects import BucketExists, Versioning
from longshore.onebox.services.s3.call import Answer, Call, answer_xml, iso_date
from longshore.onebox.services.s3.description import refuse_what_is_not_done
from longshore.onebox.services.s3.errors import S3Error
from longshore.onebox.services.s3.xml import Content

#: The region whose buckets have no location, and from which buckets of any region may be made.
_FIRST_REGION = "us-east-1"
_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)
_RESERVED = (("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))
_REGION = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)


def is_bucket_name(name: str) -> bool:
    """Whether S3 would let a bucket have this name."""
    begins, ends = _RESERVED
    return bool(_NAME.fullmatch(name)) and not (
        _ADDRESS.fullmatch(name) or name.startswith(begins) or name.endswith(ends)
    )


def list_buckets(call: Call) -> Answer:
    """The account's buckets in every region."""
    limit = call.number("max-buckets", 10_000, least=1, most=10_000)
    prefix, region, after = (call.query.get(name, "") for name in ("prefix", "bucket-region", "continuation-token"))
    found = [
        bucket
        for bucket in call.store.buckets(call.caller.account)
        if bucket.name.startswith(prefix) and region in ("", bucket.region) and bucket.name > after
    ]
    content: list[tuple[str, Content]] = [
        ("Owner", call.owner),
        (
            "Buckets",
            [
                (
                    "Bucket",
                    [
                        ("Name", bucket.name),
                        ("CreationDate", iso_date(bucket.created_at)),
                        ("BucketRegion", bucket.region),
                    ],
                )
                for bucket in found[:limit]
            ],
        ),
    ]
    if len(found) > limit:
        content.append(("ContinuationToken", found[limit - 1].name))
    return answer_xml("ListAllMyBucketsResult", content)


def create_bucket(call: Call) -> Answer:
    """Make a bucket in the caller's account and region."""
    if not is_bucket_name(call.bucket):
        raise S3Error("InvalidBucketName", details={"BucketName": call.bucket})
    refuse_what_is_not_done(call.headers)
    if call.headers.get("x-amz-bucket-object-lock-enabled", "false").lower() == "true":
        raise S3Error("NotImplemented", "Objects cannot be locked here.")
    region = _wanted_region(call)
    try:
        call.store.create_bucket(call.bucket, account=call.caller.account, region=region, now=call.now)
    except BucketExists as taken:
        is_own = taken.bucket.account == call.caller.account
        raise S3Error(
            "BucketAlreadyOwnedByYou" if is_own else "BucketAlreadyExists", details={"BucketName": call.bucket}
        ) from None
    return Answer(headers={"location": f"/{call.bucket}"})


def _wanted_region(call: Call) -> str:
    asked = None
    if call.body.strip():
        configuration = call.document("CreateBucketConfiguration")
        if others := [child.name for child in configuration.children if child.name != "LocationConstraint"]:
            raise S3Error("NotImplemented", f"A bucket cannot be created with {others[0]} here.")
        asked = configuration.get("LocationConstraint") or None
    if asked is None and call.region != _FIRST_REGION:
        raise S3Error(
            "IllegalLocationConstraintException",
            "The unspecified location constraint is incompatible for the region specific endpoint this request was "
            "sent to.",
        )
    region = asked or _FIRST_REGION
    if not _REGION.fullmatch(region) or call.region not in (region, _FIRST_REGION):
        raise S3Error(
            "IllegalLocationConstraintException",
            f"The {region} location constraint is incompatible for the region specific endpoint this request was "
            "sent to.",
        )
    return region


def head_bucket(call: Call) -> Answer:
    """Whether there is such a bucket and it is the caller's."""
    return Answer(headers={"x-amz-bucket-region": call.own_bucket().region})


def delete_bucket(call: Call) -> Answer:
    """Delete an empty bucket."""
    call.own_bucket()
    call.store.delete_bucket(call.bucket)
    return Answer(status=204)


def get_bucket_location(call: Call) -> Answer:
    """Where a bucket is; asked by those who do not know, so signed for any region."""
    region = call.own_bucket(call.bucket).region
    return answer_xml("LocationConstraint", "" if region == _FIRST_REGION else region)


def get_bucket_versioning(call: Call) -> Answer:
    """Whether a bucket keeps versions."""
    versioning = call.own_bucket().versioning
    return answer_xml(
        "VersioningConfiguration", [] if versioning is Versioning.NEVER else [("Status", versioning.value)]
    )


def put_bucket_versioning(call: Call) -> Answer:
    """Have a bucket keep versions, or no longer."""
    call.own_bucket()
    configuration = call.document("VersioningConfiguration")
    if configuration.get("MfaDelete") == "Enabled":
        raise S3Error("NotImplemented", "MFA delete is not implemented.")
    status = configuration.get("Status")
    if status not in (Versioning.ENABLED, Versioning.SUSPENDED):
        raise S3Error("MalformedXML", "Status must be Enabled or Suspended.")
    call.store.set_versioning(call.bucket, Versioning(status))
    return Answer()
