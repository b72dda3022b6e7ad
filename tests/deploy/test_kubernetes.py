"""The manifests: rendered by kubectl and helm, held to Kubernetes' schemas and to each other."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from chalicelib import settings
from chalicelib.core.configuration.file_values import variables_of
from container.__main__ import COMMANDS
from infra.state import state
from tests.deploy.renderers import program

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "chronowatch"
SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "kubernetes-1.33.json").read_text())
CUSTOM = ("ScaledObject",)  # kinds of others than Kubernetes
OVERLAYS = ("aws", "emulator")
# Helm's values as the first description of ChronoWatch shows them.
FIRST_VALUES = {
    "image": {"repository": "registry.local/chronowatch", "tag": "v1.0.0"},
    "service": {"httpPort": 8080, "grpcPort": 9090},
    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "200m", "memory": "256Mi"}},
    "env": {"CHRONO_TZ": "Europe/Stockholm"},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "hosts": [{"host": "chronowatch.local", "paths": [{"path": "/", "pathType": "Prefix"}]}],
    },
}

Objects = dict[tuple[str, str], dict[str, Any]]


def _objects(text: str) -> Objects:
    """Objects by kind and name; what a ConfigMap holds is YAML too."""
    found: Objects = {}
    for each in filter(None, yaml.safe_load_all(text)):
        if each["kind"] == "ConfigMap":
            each["data"] = {name: yaml.load(content, yaml.BaseLoader) for name, content in each["data"].items()}
        found[each["kind"], each["metadata"]["name"]] = each
    return found


@cache
def kustomized(overlay: str) -> Objects:
    ran = subprocess.run(
        [program("kubectl"), "kustomize", DEPLOY / "kubernetes" / "overlays" / overlay],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return _objects(ran.stdout)


def _helm(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("helm"), *arguments], input=stdin, capture_output=True, text=True, check=False, cwd=DEPLOY / "helm"
    )


def _templated(*arguments: str, stdin: str = "") -> Objects:
    ran = _helm("template", "chronowatch", str(CHART), *arguments, stdin=stdin)
    assert ran.returncode == 0, ran.stderr
    return _objects(ran.stdout)


def _problems(each: dict[str, Any]) -> list[str]:
    """What Kubernetes' schema has against an object."""
    (name,) = [
        name
        for name in SCHEMAS["$defs"]
        if name.endswith(f".{each['kind']}")
        and each["apiVersion"] in SCHEMAS["$defs"][name]["properties"]["apiVersion"]["enum"]
    ]
    written = {**each, "data": {}} if each["kind"] == "ConfigMap" else each
    found = Draft202012Validator({**SCHEMAS, "$ref": f"#/$defs/{name}"}).iter_errors(written)
    return [f"{each['kind']} {each['metadata']['name']}: {error.json_path}: {error.message}" for error in found]


def _pods(objects: Objects) -> dict[str, dict[str, Any]]:
    return {name: each["spec"]["template"]["spec"] for (kind, name), each in objects.items() if kind == "Deployment"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_what_kustomize_renders(overlay: str) -> None:
    objects = kustomized(overlay)
    known = [each for (kind, _), each in objects.items() if kind not in CUSTOM]
    assert not [problem for each in known for problem in _problems(each)]
    assert len(known) >= 9


def test_the_schemas_would_notice() -> None:
    deployment = kustomized("aws")["Deployment", "chronowatch-api"]
    wrong = json.loads(json.dumps(deployment).replace('"readinessProbe"', '"readyProbe"'))
    assert "readyProbe" in _problems(wrong)[0]
    assert _problems(json.loads(json.dumps(deployment).replace('"replicas": 2', '"replicas": "two"')))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_chart_renders_what_kustomize_does(overlay: str) -> None:
    assert _templated("-f", f"values-{overlay}.yaml") == kustomized(overlay)


def test_helm_finds_nothing_to_complain_of() -> None:
    ran = _helm("lint", "--strict", str(CHART), "-f", "values-aws.yaml")
    assert ran.returncode == 0, ran.stdout


def test_the_first_values_are_taken_and_kubernetes_takes_what_they_render() -> None:
    objects = _templated("-f", "-", stdin=yaml.safe_dump(FIRST_VALUES))
    assert not [problem for each in objects.values() for problem in _problems(each)]
    service = objects["Service", "chronowatch"]["spec"]
    assert [(port["name"], port["port"]) for port in service["ports"]] == [("http", 8080), ("grpc", 9090)]
    assert objects["Ingress", "chronowatch"]["spec"]["ingressClassName"] == "nginx"


def test_every_port_that_the_service_names_is_served_by_a_process_of_its_own() -> None:
    objects = _templated("-f", "-", stdin=yaml.safe_dump(FIRST_VALUES))
    pod = _pods(objects)["chronowatch-api"]
    served = {port["name"]: each["args"][0] for each in pod["containers"] for port in each.get("ports", ())}
    assert served == {"http": "api", "grpc": "grpc"}
    assert {port["targetPort"] for port in objects["Service", "chronowatch"]["spec"]["ports"]} == set(served)
    assert set(served.values()) <= set(COMMANDS)
    told = [
        mount["name"]
        for each in pod["containers"]
        for mount in each["volumeMounts"]
        if mount["mountPath"] == "/var/lib/chronowatch"
    ]
    assert len(set(told)) == 2, "one process's health is not to be taken for the other's"
    assert {mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"imgae": {}}, "imgae"),
        ({"service": {"httpPort": "http"}}, "httpPort"),
        ({"env": {"CHRONO_SHARDS": 4}}, "CHRONO_SHARDS"),
        ({"keda": {"enabled": True}}, "queueURL"),
        ({"config": {"sever": {}}}, "sever"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], said: str) -> None:
    ran = _helm("template", "chronowatch", str(CHART), "-f", "-", stdin=yaml.safe_dump(values))
    assert ran.returncode != 0
    assert said in ran.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_locked_probed_and_given_time_to_end(overlay: str) -> None:
    pods = _pods(kustomized(overlay))
    assert set(pods) == {"chronowatch-api", "chronowatch-worker"}
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["terminationGracePeriodSeconds"] >= 15 + 5 * (name == "chronowatch-api")  # preStop counts as well
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert set(container["args"]) <= set(COMMANDS)
        (container,) = pod["containers"]
        assert {"startupProbe", "livenessProbe"} <= set(container)
        assert (
            (name == "chronowatch-api")
            == ("readinessProbe" in container)
            == ("preStop" in container.get("lifecycle", {}))
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_select_and_the_configuration_is_one(overlay: str) -> None:
    objects = kustomized(overlay)
    labels = {
        name: each["spec"]["template"]["metadata"]["labels"]
        for (kind, name), each in objects.items() if kind == "Deployment"
    }  # fmt: skip
    for (kind, name), each in objects.items():
        if kind in ("PodDisruptionBudget", "NetworkPolicy"):
            selector = each["spec"].get("selector") or each["spec"]["podSelector"]
            assert [n for n, of in labels.items() if selector["matchLabels"].items() <= of.items()] == [name]
    service = objects["Service", "chronowatch"]["spec"]["selector"]
    assert service.items() <= labels["chronowatch-api"].items()
    document = objects["ConfigMap", "chronowatch"]["data"]["chronowatch.yaml"]
    stated = variables_of(document, settings.VARIABLES).values
    chosen = settings.load({**stated, "CHRONO_PAGE_TOKEN_SECRET": "x" * 32})
    assert (chosen.auth, chosen.http_host, chosen.loopback) == ("apikey", "0.0.0.0", False)


def test_workers_scale_with_the_queue_of_the_stage() -> None:
    objects = kustomized("aws")
    scaled = objects["ScaledObject", "chronowatch-worker"]["spec"]
    assert ("Deployment", scaled["scaleTargetRef"]["name"]) in objects
    assert "replicas" not in objects["Deployment", "chronowatch-worker"]["spec"]
    ((kind, asked),) = [(each["type"], each["metadata"]) for each in scaled["triggers"]]
    stage = objects["ConfigMap", "chronowatch"]["data"]["chronowatch.yaml"]["server"]["stage"]
    assert kind == "aws-sqs-queue"
    assert asked["queueURL"].endswith(f"/{state(stage, 'chronowatch').queue('work').name}")
    assert asked["scaleOnDelayed"] == "false"  # firings that wait for their instants need no worker yet


def test_images_have_tags() -> None:
    images = [
        c["image"] for overlay in OVERLAYS for pod in _pods(kustomized(overlay)).values() for c in pod["containers"]
    ]
    assert all(re.fullmatch(r"[\w./-]*chronowatch:\S+", image) for image in images)
