"""CloudFormation: how functions run. What Chalice's template lacks here are runtime, layers, snapshots and pollers."""

from __future__ import annotations

from typing import Any, Final

from infra.build import Build
from infra.layers import Layer

Json = dict[str, Any]

API: Final = "APIHandler"
SUBSCRIBE: Final = "Subscribe"  # the gateway calls it for one path
WORKERS: Final = ("Deliver", "Sweep", "Reconcile", "Feed", "Declare", "Workflow", "Script", "Subscribe")
ALIAS: Final = "live"
NO_VALUE: Final[Json] = {"Ref": "AWS::NoValue"}


def complete(resources: Json, build: Build) -> None:
    """In place."""
    resources.update({layer.logical: _layer(layer, build) for layer in build.layers()})
    for name in (*WORKERS, API):
        properties = resources[name]["Properties"]
        properties["Runtime"] = build.target.runtime
        properties["Architectures"] = [build.target.architecture]
        layers = build.layers_of(name)
        if layers:
            properties["Layers"] = [{"Ref": layer.logical} for layer in layers]
        if build.snapstart:
            properties |= {"AutoPublishAlias": ALIAS, "SnapStart": {"ApplyOn": "PublishedVersions"}}
            # Else a changed variable or layer would reach no caller: SAM publishes a version when the code changes.
            properties["AutoPublishAliasAllProperties"] = True
    if build.snapstart:
        _call_snapshots(resources)


def _layer(layer: Layer, build: Build) -> Json:
    return {
        "Type": "AWS::Serverless::LayerVersion",
        "Properties": {
            "LayerName": f"chronowatch-{build.stage}-{layer.name}",
            "ContentUri": f"./{layer.zip_name}",
            "CompatibleRuntimes": [build.target.runtime],
            "CompatibleArchitectures": [build.target.architecture],
            "RetentionPolicy": "Delete",
        },
    }


def _call_snapshots(resources: Json) -> None:
    """Only published versions have snapshots, so the gateway calls the alias. SAM does it for the workers' events."""
    for name in (API, SUBSCRIBE):
        resources[f"{name}InvokePermission"]["Properties"]["FunctionName"] = {"Ref": f"{name}.Alias"}
    _rewrite(resources["RestAPI"]["Properties"]["DefinitionBody"])


def _rewrite(node: Any) -> None:
    for each in node.values() if isinstance(node, dict) else node:
        if isinstance(each, dict | list):
            _rewrite(each)
    if isinstance(node, dict) and isinstance(node.get("Fn::Sub"), str):
        for name in (API, SUBSCRIBE):
            node["Fn::Sub"] = node["Fn::Sub"].replace(f"${{{name}.Arn}}", f"${{{name}.Alias}}")
