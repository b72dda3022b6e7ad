"""``scripts/package --tenant-tags``: the API's role reaches the keys of the tenant that it is tagged with.

The tag ``tenant`` is that of the role, or of the session that assumed it (``aws:PrincipalTag``). DynamoDB states the
partition keys of a call to IAM as ``dynamodb:LeadingKeys``. Workers serve all tenants and keep their policies.

``ForAllValues`` holds where there is no key at all, as in a scan. So the key must be there (``Null``). What reads
without keys is denied, whatever else allows it. A role without the tag reaches nothing.
"""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]

TAG = "${aws:PrincipalTag/tenant}"
# Keys of the deployment itself, which begin with "#" (escaped where a name of it stands for a tenant), and the
# partitions of the index of open executions, by which /health counts.
DEPLOYMENT_KEYS = ("#*", "%23*", "bad#*")
KEYLESS_ACTIONS = ("dynamodb:Scan", "dynamodb:PartiQLSelect", "dynamodb:ExportTableToPointInTime")


def restrict(statements: list[Json]) -> list[Json]:
    """The statements with every right on tables, and on large values of runs, bound to the tenant's keys; the argument
    is left as it is."""
    bound = copy.deepcopy(statements)
    (tables,) = [statement for statement in bound if statement["Sid"] == "Tables"]
    tables["Condition"] = {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [TAG, f"{TAG}#*", *DEPLOYMENT_KEYS]},
        "Null": {"dynamodb:LeadingKeys": "false", "aws:PrincipalTag/tenant": "false"},
    }
    for values in (statement for statement in bound if statement["Sid"] == "LargeValues"):
        values["Resource"] = [f"arn:aws:s3:::*/chronowatch/*/runs/{TAG}/*"]
        values["Condition"] = {"Null": {"aws:PrincipalTag/tenant": "false"}}
    closed = {
        "Sid": "NothingWithoutKeys",
        "Effect": "Deny",
        "Action": list(KEYLESS_ACTIONS),
        "Resource": ["*"],
    }
    return [*bound, closed]


def restrict_template(template: Json, function: str) -> None:
    """In place: bind the role of a function of a CloudFormation template."""
    role = template["Resources"][function]["Properties"]["Role"]["Fn::GetAtt"][0]
    (policy,) = template["Resources"][role]["Properties"]["Policies"]
    policy["PolicyDocument"]["Statement"] = restrict(policy["PolicyDocument"]["Statement"])
