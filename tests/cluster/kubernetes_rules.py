"""What must hold in every manifest: the kinds' schemas, closed against misspelt fields, and our rules over all of them together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from command_lines import ours, refusal, strings
from custom_kinds import KINDS
from referencing import Registry, Resource

from faceanon.cli import JOBS

VERSION = "1.33"  # the oldest that the README promises
FOLDER = Path(__file__).parents[2] / "manifests/kubernetes"
_IMAGE = re.compile(r".+(:(?!latest$)[\w.\-]+|@sha256:[0-9a-f]{64})$")


def load(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Every object of every file, kustomization apart."""
    files = sorted(path for path in folder.rglob("*.yaml") if path.name != "kustomization.yaml")
    return [entry for path in files for entry in yaml.safe_load_all(path.read_text()) if entry]


def problems(objects: list[dict[str, Any]]) -> list[str]:
    """All that is wrong with these objects, as sentences that start with kind and name."""
    found = [f"{name_of(entry)}: {sentence}" for entry in objects for sentence in _schema(json.dumps(entry))]
    if found:
        return found
    found = [f"{name_of(entry)}: {sentence}" for entry in objects for rule in (_pods, _cron, _ray, _submitters, _commands, _secrets) for sentence in rule(entry)]
    return [*found, *_together(objects)]


def name_of(entry: dict[str, Any]) -> str:
    return f"{entry.get('kind')} {entry.get('metadata', {}).get('name')}"


def pod_templates(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every pod template inside an object, however deep."""
    if "containers" in entry.get("spec", {}):
        yield entry
    for value in entry.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from pod_templates(inner)


def containers(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


@cache
def _schema(text: str) -> list[str]:
    entry = json.loads(text)
    kind = (entry["apiVersion"], entry["kind"])
    if kind in KINDS:
        validator = jsonschema.Draft202012Validator(KINDS[kind], registry=_definitions())
        return [_said(error) for error in validator.iter_errors(entry)]
    try:
        kubernetes_validate.validate(entry, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [_said(error)]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return []


def _said(error: jsonschema.ValidationError) -> str:
    return f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"


@cache
def _definitions() -> Registry:
    """Kubernetes' own types, which the custom kinds are made of, closed against fields that they do not have."""
    schemas = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    exact = next(f.name for f in schemas.iterdir() if f.name.startswith(f"v{VERSION}.") and f.name.endswith("-local-strict"))
    return Resource.from_contents(json.loads((schemas / exact / "_definitions.json").read_text())) @ Registry()


def _pods(entry: dict[str, Any]) -> Iterator[str]:
    """The restricted standard, and files that only lie where they may be lost."""
    for template in pod_templates(entry):
        pod = template["spec"]
        security = pod.get("securityContext", {})
        if not security.get("runAsNonRoot") or not security.get("runAsUser"):
            yield "a pod may run as root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield "a pod runs without the seccomp profile"
        if pod.get("automountServiceAccountToken") is not False or not pod.get("serviceAccountName"):
            yield "a pod holds a token for the Kubernetes API"
        if any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC")) or any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield "a pod shares something with its node"
        for container in containers(template):
            yield from (f"container {container['name']}: {sentence}" for sentence in _container(container))


def _container(container: dict[str, Any]) -> Iterator[str]:
    if not _IMAGE.match(container.get("image", "")):
        yield f"the image is not pinned: {container.get('image', '')!r}"
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
        yield "may gain privileges"
    if not security.get("readOnlyRootFilesystem"):
        yield "its root file system may be written"
    if security.get("capabilities", {}).get("drop") != ["ALL"] or security["capabilities"].get("add"):
        yield "keeps capabilities"
    wanted = container.get("resources", {})
    if not {"cpu", "memory"} <= wanted.get("limits", {}).keys() or wanted.get("limits") != wanted.get("requests"):
        yield "requests and limits are not the same"
    if not any(mount["mountPath"] == "/tmp" for mount in container.get("volumeMounts", [])):
        yield "has nowhere to write"


def _cron(entry: dict[str, Any]) -> Iterator[str]:
    if entry["kind"] != "CronJob":
        return
    spec = entry["spec"]
    if spec.get("concurrencyPolicy") != "Forbid":
        yield "two runs may go on at the same time"
    if spec.get("startingDeadlineSeconds", 0) < 6 * 3600:
        yield "a missed run is not made up for"
    if "timeZone" not in spec:
        yield "the hour depends on where the control plane runs"


def _ray(entry: dict[str, Any]) -> Iterator[str]:
    spec = {"RayCluster": lambda: entry["spec"], "RayJob": lambda: entry["spec"]["rayClusterSpec"]}.get(entry["kind"], lambda: None)()
    if spec is None:
        return
    head = spec["headGroupSpec"]
    if spec.get("authOptions", {}).get("mode") != "token" or not spec["authOptions"].get("secretName"):
        yield "token auth is off"
    if head.get("enableIngress") is not False or head.get("serviceType") != "ClusterIP" or "ingressOptions" in head:
        yield "the dashboard is exposed"
    if head["rayStartParams"].get("num-cpus") != "0":
        yield "the head takes work"
    for group in spec["workerGroupSpecs"]:
        if not group["replicas"] == group["minReplicas"] == group["maxReplicas"] > 0:
            yield f"{group['groupName']}: the group has no fixed size"
    spot = [g for g in spec["workerGroupSpecs"] if "spot" in g["template"]["spec"]["nodeSelector"].values()]
    if not spot or len(spot) == len(spec["workerGroupSpecs"]) or not all("nvidia.com/gpu" in containers(g["template"])[-1]["resources"]["limits"] for g in spot):
        yield "there is no spot group with GPUs beside a group on demand"
    if "spot" in head["template"]["spec"]["nodeSelector"].values():
        yield "the head is on a spot machine"
    if entry["kind"] == "RayJob" and not (entry["spec"].get("shutdownAfterJobFinishes") and entry["spec"].get("suspend")):
        yield "Kueue takes in only jobs that are suspended and take their cluster with them"
    if entry["kind"] == "RayJob" and "deletionStrategy" in entry["spec"] and entry["spec"].get("shutdownAfterJobFinishes"):
        yield "deletionStrategy and shutdownAfterJobFinishes exclude each other"


def _commands(entry: dict[str, Any]) -> Iterator[str]:
    """What a manifest runs, the program takes. A job that this version does not have may only be there suspended."""
    for text in strings(entry):
        for line in ours(text):
            if line[0] in JOBS and refusal(line):
                yield f"faceanon {' '.join(line)}: {refusal(line)}"
            if line[0] not in JOBS and not entry["spec"].get("suspend"):
                yield f"faceanon {line[0]}: this version has no such job"


def _submitters(entry: dict[str, Any]) -> Iterator[str]:
    """Pods that hand in jobs show the cluster's token, which comes from a secret."""
    for template in pod_templates(entry):
        if template.get("metadata", {}).get("labels", {}).get("faceanon/submits") == "true":
            variables = {variable["name"]: variable for container in containers(template) for variable in container.get("env", [])}
            if variables.get("RAY_AUTH_MODE", {}).get("value") != "token" or "secretKeyRef" not in variables.get("RAY_AUTH_TOKEN", {}).get("valueFrom", {}):
                yield "hands in jobs without the token"


def _secrets(entry: dict[str, Any]) -> Iterator[str]:
    if entry["kind"] == "Secret":
        yield "a secret is written into a file"
    for template in pod_templates(entry):
        for container in containers(template):
            for variable in container.get("env", []):
                if re.search(r"TOKEN$|SECRET|PASSWORD|ACCESS_KEY", variable["name"]) and "value" in variable:
                    yield f"{variable['name']} is written into a file"


def _together(objects: list[dict[str, Any]]) -> Iterator[str]:
    """What only the whole shows."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for entry in objects:
        by_kind.setdefault(entry["kind"], []).append(entry)
    policies = by_kind.get("NetworkPolicy", [])
    if not any(p["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for p in policies):
        yield "no NetworkPolicy denies everything first"
    for policy in policies:
        yield from (f"{name_of(policy)}: {sentence}" for sentence in _open_doors(policy["spec"]))
    accounts = {entry["metadata"]["name"] for entry in by_kind.get("ServiceAccount", [])}
    used = {template["spec"].get("serviceAccountName") for entry in objects for template in pod_templates(entry)}
    yield from (f"no ServiceAccount {name}" for name in sorted(used - accounts))
    flavors = {entry["metadata"]["name"] for entry in by_kind.get("ResourceFlavor", [])}
    for queue in by_kind.get("ClusterQueue", []):
        for group in queue["spec"]["resourceGroups"]:
            for flavor in group["flavors"]:
                if flavor["name"] not in flavors:
                    yield f"no ResourceFlavor {flavor['name']}"
                if [r["name"] for r in flavor["resources"]] != group["coveredResources"]:
                    yield f"flavor {flavor['name']} does not list the covered resources in their order"
    queues = {entry["metadata"]["name"] for entry in by_kind.get("LocalQueue", [])}
    wanted = {entry["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") for entry in by_kind.get("RayJob", [])}
    yield from (f"no LocalQueue {name}" for name in wanted - queues)
    cluster, job = by_kind["RayCluster"][0]["spec"], by_kind["RayJob"][0]["spec"]["rayClusterSpec"]
    if cluster != job:
        yield "the cluster that stays and the job's own cluster differ"


def _open_doors(spec: dict[str, Any]) -> Iterator[str]:
    for rule in spec.get("ingress", []):
        sources = rule.get("from", [])
        if not sources or any("ipBlock" in source or source.get("podSelector") in (None, {}) for source in sources):
            yield "lets in more than named pods"
    for rule in spec.get("egress", []):
        if not rule.get("to"):
            yield "lets out to everywhere"
        for target in rule.get("to", []):
            if "ipBlock" in target and "169.254.0.0/16" not in target["ipBlock"].get("except", []):
                yield "lets out to the machine's metadata service"
