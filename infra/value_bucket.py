"""The bucket for large values of runs, for CloudFormation and for Terraform; and which functions know its name.

AWS finds the name, since it must be the only one in the world. What was deleted stays for 35
days. The tables can be restored to a past that is as long ago, and then ``scripts/restore`` finds it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from chalicelib.core.workflows.value_bucket import VARIABLE
from infra.choices import DELETION_PROTECTION, OWN_KEY
from infra.functions import API, NO_VALUE
from infra.state import State

Json = dict[str, Any]

LOGICAL: Final = "ValueBucket"
FUNCTIONS: Final = (API, "Deliver", "Workflow")  # who begins runs, and who takes their steps
RECOVERABLE_DAYS: Final = 35  # as the tables
PARTS_DAYS: Final = 1
PREFIX_MOST_CHARS: Final = 37  # of a name that the provider completes
_OWN: Final = f"var.{OWN_KEY.variable}"
_BUCKET: Final = "aws_s3_bucket.values"
_CLOSED: Final = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")


def tell(resources: Json) -> None:
    """In place, of CloudFormation's resources: the functions that use the bucket know its name."""
    for name in FUNCTIONS:
        resources[name]["Properties"]["Environment"]["Variables"][VARIABLE] = {"Ref": LOGICAL}


def tell_terraform(functions: Json, names: dict[str, str]) -> None:
    """In place: the same for Terraform, by the names that its functions have in CloudFormation."""
    for name, logical in names.items():
        if logical in FUNCTIONS:
            functions[name]["environment"]["variables"][VARIABLE] = f"${{{_BUCKET}.bucket}}"


def cloudformation(key_arn: Json, own_key: str) -> Json:
    """The bucket and its policy. ``own_key`` is the condition that the deployment has a key of its own."""
    with_own_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn}
    encryption = {
        "ServerSideEncryptionByDefault": {"Fn::If": [own_key, with_own_key, {"SSEAlgorithm": "AES256"}]},
        "BucketKeyEnabled": {"Fn::If": [own_key, True, NO_VALUE]},
    }
    rule = {
        "Id": "ForgetWhatWasDeleted",
        "Status": "Enabled",
        "NoncurrentVersionExpiration": {"NoncurrentDays": RECOVERABLE_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": PARTS_DAYS},
        "ExpiredObjectDeleteMarker": True,
    }
    arn = {"Fn::GetAtt": [LOGICAL, "Arn"]}
    return {
        LOGICAL: {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",  # as the tables, which refer to what is in it
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption]},
                "PublicAccessBlockConfiguration": {
                    "".join(word.title() for word in each.split("_")): True for each in _CLOSED
                },
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "VersioningConfiguration": {"Status": "Enabled"},
                "LifecycleConfiguration": {"Rules": [rule]},
            },
        },
        f"{LOGICAL}Policy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {
                "Bucket": {"Ref": LOGICAL},
                "PolicyDocument": _only_encrypted([arn, {"Fn::Join": ["", [arn, "/*"]]}]),
            },
        },
    }


def terraform(state: State, key_arn: str) -> Json:
    """As CloudFormation has it."""
    at = f"${{{_BUCKET}.id}}"
    sse = {
        "sse_algorithm": f'${{{_OWN} ? "aws:kms" : "AES256"}}',
        "kms_master_key_id": key_arn,
    }
    encrypted = {"apply_server_side_encryption_by_default": sse, "bucket_key_enabled": f"${{{_OWN} ? true : null}}"}
    rule = {
        "id": "forget-what-was-deleted",
        "status": "Enabled",
        "filter": {},
        "noncurrent_version_expiration": {"noncurrent_days": RECOVERABLE_DAYS},
        "abort_incomplete_multipart_upload": {"days_after_initiation": PARTS_DAYS},
        "expiration": {"expired_object_delete_marker": True},
    }
    arn = f"${{{_BUCKET}.arn}}"
    stage = "".join(c if c.isalnum() else "-" for c in state.stage.lower())
    return {
        "aws_s3_bucket": {
            "values": {
                "bucket_prefix": f"chronowatch-{stage}"[: PREFIX_MOST_CHARS - 1] + "-",
                "force_destroy": f"${{!var.{DELETION_PROTECTION.variable}}}",
            }
        },
        "aws_s3_bucket_server_side_encryption_configuration": {"values": {"bucket": at, "rule": encrypted}},
        "aws_s3_bucket_public_access_block": {"values": {"bucket": at, **dict.fromkeys(_CLOSED, True)}},
        "aws_s3_bucket_ownership_controls": {
            "values": {"bucket": at, "rule": {"object_ownership": "BucketOwnerEnforced"}}
        },
        "aws_s3_bucket_versioning": {"values": {"bucket": at, "versioning_configuration": {"status": "Enabled"}}},
        "aws_s3_bucket_lifecycle_configuration": {
            "values": {"bucket": at, "rule": rule, "depends_on": ["aws_s3_bucket_versioning.values"]}
        },
        "aws_s3_bucket_policy": {"values": {"bucket": at, "policy": json.dumps(_only_encrypted([arn, f"{arn}/*"]))}},
    }


def _only_encrypted(resources: list[Any]) -> Json:
    """Requests in the clear are refused."""
    statement = {
        "Sid": "OnlyByTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": resources,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
