"""The Kubernetes manifests: closed schemas and our rules; every mistake that was planted is caught."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from kubernetes_rules import FOLDER, load, name_of, problems

from faceanon.core import settings

OBJECTS = load()
RAY = "RayCluster faceanon"
HEAD = "spec/headGroupSpec"
GPU, CPU = "spec/workerGroupSpecs/0", "spec/workerGroupSpecs/1"
POD = f"{GPU}/template/spec"
NIGHTLY = "CronJob faceanon-nightly"


def changed(name: str, path: str, value: object) -> list[dict]:
    """All objects, one of them with one value set (or, with ..., taken out). The trap is set: the object and the way to the value exist."""
    objects = copy.deepcopy(OBJECTS)
    place = next(entry for entry in objects if name_of(entry) == name)
    *parents, last = [int(key) if key.isdigit() else key.replace("~", "/") for key in path.split("/")]
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return objects


def test_the_manifests_may_be_applied():
    """Every object passes its kind's schema, and no rule of ours is broken."""
    assert problems(OBJECTS) == []


def test_the_kinds_that_a_cluster_needs_are_there():
    """Accounts, rights, network, disruption, cluster, jobs, schedules, queue and monitoring; everything of a namespace is in ours."""
    kinds = {entry["kind"] for entry in OBJECTS}

    assert kinds >= {"Namespace", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "PodDisruptionBudget", "RayCluster", "RayJob", "CronJob", "ConfigMap"}
    assert kinds >= {"ResourceFlavor", "ClusterQueue", "LocalQueue", "ServiceMonitor", "PodMonitor"}
    assert {entry["metadata"].get("namespace") for entry in OBJECTS if entry["kind"] not in ("Namespace", "ResourceFlavor", "ClusterQueue")} == {"faceanon"}


def test_the_kustomization_names_every_file():
    """What is applied together is every file but the job, which is a run, and the retention, which is switched on by itself."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in Path(FOLDER).glob("*.yaml")} - {"kustomization.yaml", "rayjob.yaml"}

    assert sorted(listed) == sorted(files)


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_ray_reads_the_groups(kind):
    """Ray's own autoscaler, which KubeRay runs beside a head, makes of each group the CPUs, GPUs and numbers of nodes that are meant; the head has no CPU to give."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.util import validate_config

    entry = next(entry for entry in OBJECTS if entry["kind"] == kind)
    cluster = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": entry["metadata"], "spec": entry["spec"].get("rayClusterSpec", entry["spec"])}

    found = _derive_autoscaling_config_from_ray_cr(cluster)

    validate_config(found)
    resources = {name: group["resources"] for name, group in found["available_node_types"].items()}
    assert resources["headgroup"]["CPU"] == 0
    assert (resources["gpu-spot"]["CPU"], resources["gpu-spot"]["GPU"]) == (15, 1)
    assert (resources["cpu-on-demand"]["CPU"], "GPU" in resources["cpu-on-demand"]) == (15, False)
    assert {name: group["max_workers"] for name, group in found["available_node_types"].items()} == {"headgroup": 0, "gpu-spot": 8, "cpu-on-demand": 4}


def test_the_settings_fit_the_nodes(tmp_path):
    """The program takes the settings, and a node whose actors all fill their scratch still has its disk."""
    text = next(entry["data"]["settings.toml"] for entry in OBJECTS if "settings.toml" in entry.get("data", {}))
    (tmp_path / "settings.toml").write_text(text)
    scratch_gb = settings.load(tmp_path / "settings.toml").run.scratch_gb

    for group in next(entry for entry in OBJECTS if name_of(entry) == RAY)["spec"]["workerGroupSpecs"]:
        limits, volumes = group["template"]["spec"]["containers"][0]["resources"]["limits"], group["template"]["spec"]["volumes"]
        disk_gib = next(int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) for volume in volumes if volume["name"] == "scratch")
        assert scratch_gb * 1e9 * int(limits["cpu"]) <= disk_gib * 2**30 < int(limits["ephemeral-storage"].removesuffix("Gi")) * 2**30


MISTAKES = [
    # a misspelt field, a wrong type, something missing: one for each kind
    (RAY, "spec/headGroupSpce", {}, "'headGroupSpce' was unexpected"),
    (RAY, HEAD, ..., "'headGroupSpec' is a required property"),
    (RAY, f"{GPU}/maxReplicas", "8", "'8' is not of type 'integer'"),
    (RAY, f"{GPU}/minReplicas", ..., "'minReplicas' is a required property"),
    (RAY, f"{HEAD}/rayStartParams/num-cpus", 0, "0 is not of type 'string'"),
    (RAY, f"{POD}/containers/0/imagePullPolice", "Always", "'imagePullPolice' was unexpected"),
    (RAY, f"{POD}/containers/0/image", ..., "'image' is a required property"),
    (RAY, f"{POD}/containers/0/ports/0/containerPort", "8080", "is not of type 'integer'"),
    (RAY, "spec/authOptions/mode", "tokens", "'tokens' is not one of"),
    ("RayJob faceanon", "spec/submissionMode", "K8sJob", "'K8sJob' is not one of"),
    ("RayJob faceanon", "spec/backofLimit", 3, "'backofLimit' was unexpected"),
    ("RayJob faceanon", "spec/rayClusterSpec/workerGroupSpecs/0/groupName", "GPU spot", "does not match"),
    (NIGHTLY, "spec/concurencyPolicy", "Forbid", "'concurencyPolicy' was unexpected"),
    (NIGHTLY, "spec/startingDeadlineSeconds", "12h", "is not of type 'integer'"),
    ("NetworkPolicy metrics", "spec/ingress/0/ports/0/protocol", 6, "is not of type 'string'"),
    ("PodDisruptionBudget faceanon-head", "spec/minAvailabel", 1, "'minAvailabel' was unexpected"),
    ("Role faceanon-operator", "rules/0/verb", ["get"], "'verb' was unexpected"),
    ("ServiceAccount faceanon-ray", "automountServiceAccountToken", "false", "is not of type 'boolean'"),
    ("ClusterQueue faceanon", "spec/resourceGroups/0/flavors/0/resources/0/nominalQuota", "70 cores", "is not valid under any of the given schemas"),
    ("ClusterQueue faceanon", "spec/queueingStrategy", "FIFO", "'FIFO' is not one of"),
    ("LocalQueue faceanon", "spec/clusterqueue", "faceanon", "'clusterqueue' was unexpected"),
    ("ServiceMonitor faceanon-head", "spec/endpoints/0/port", ..., "'port' is a required property"),
    ("PodMonitor faceanon-workers", "spec/podMetricsEndpoints/0/interval", "30 seconds", "does not match"),
    # what a schema would let through
    (NIGHTLY, "spec/concurrencyPolicy", ..., "two runs may go on at the same time"),
    ("CronJob faceanon-retention", "spec/concurrencyPolicy", "Allow", "two runs may go on at the same time"),
    (NIGHTLY, "spec/startingDeadlineSeconds", 10, "a missed run is not made up for"),
    (NIGHTLY, "spec/timeZone", ..., "the hour depends on where the control plane runs"),
    (RAY, "spec/authOptions/mode", "disabled", "token auth is off"),
    (RAY, "spec/authOptions", ..., "token auth is off"),
    (RAY, f"{HEAD}/enableIngress", True, "the dashboard is exposed"),
    (RAY, f"{HEAD}/serviceType", "LoadBalancer", "the dashboard is exposed"),
    (RAY, f"{HEAD}/serviceType", ..., "the dashboard is exposed"),
    (RAY, f"{HEAD}/rayStartParams/num-cpus", "4", "the head takes work"),
    (RAY, f"{GPU}/template/spec/nodeSelector/karpenter.sh~capacity-type", "on-demand", "there is no spot group with GPUs"),
    (RAY, f"{CPU}/maxReplicas", 9, "cpu-on-demand: the group has no fixed size"),
    (RAY, f"{POD}/containers/0/image", "registry.example.com/faceanon:latest", "the image is not pinned"),
    (RAY, f"{POD}/securityContext/runAsNonRoot", False, "a pod may run as root"),
    (RAY, f"{POD}/securityContext/seccompProfile", ..., "a pod runs without the seccomp profile"),
    (RAY, f"{POD}/automountServiceAccountToken", True, "a pod holds a token for the Kubernetes API"),
    (RAY, f"{POD}/hostNetwork", True, "a pod shares something with its node"),
    (RAY, f"{POD}/volumes/0", {"name": "keystore", "hostPath": {"path": "/"}}, "a pod shares something with its node"),
    (RAY, f"{POD}/containers/0/securityContext/capabilities/drop", [], "keeps capabilities"),
    (RAY, f"{POD}/containers/0/securityContext/capabilities/add", ["SYS_PTRACE"], "keeps capabilities"),
    (RAY, f"{POD}/containers/0/securityContext/readOnlyRootFilesystem", False, "its root file system may be written"),
    (RAY, f"{POD}/initContainers/0/securityContext", ..., "may gain privileges"),
    (RAY, f"{POD}/containers/0/resources/limits/memory", "512Gi", "requests and limits are not the same"),
    (RAY, f"{POD}/serviceAccountName", "default", "no ServiceAccount default"),
    (RAY, f"{POD}/initContainers/0/command/2", "faceanon models fetch --form x", "faceanon models fetch --form x"),
    (RAY, f"{POD}/containers/0/env/0", {"name": "RAY_AUTH_TOKEN", "value": "abc"}, "RAY_AUTH_TOKEN is written into a file"),
    (RAY, f"{GPU}/template/spec/terminationGracePeriodSeconds", 61, "the cluster that stays and the job's own cluster differ"),
    ("RayJob faceanon", "spec/submitterPodTemplate/spec/containers/0/env/1/value", "disabled", "hands in jobs without the token"),
    (NIGHTLY, "spec/jobTemplate/spec/template/spec/containers/0/env/2", ..., "hands in jobs without the token"),
    ("RayJob faceanon", "spec/suspend", ..., "Kueue takes in only jobs that are suspended"),
    ("RayJob faceanon", "spec/shutdownAfterJobFinishes", False, "Kueue takes in only jobs that are suspended"),
    ("RayJob faceanon", "metadata/labels/kueue.x-k8s.io~queue-name", "other", "no LocalQueue other"),
    ("RayJob faceanon", "spec/entrypoint", "faceanon anonymize s3://a.b/ --outputs s3://c.d/", "faceanon anonymize"),
    ("ClusterQueue faceanon", "spec/resourceGroups/0/flavors/0/name", "gone", "no ResourceFlavor gone"),
    ("ClusterQueue faceanon", "spec/resourceGroups/0/flavors/0/resources/3", ..., "does not list the covered resources"),
    ("NetworkPolicy default-deny", "spec/policyTypes", ["Ingress"], "no NetworkPolicy denies everything first"),
    ("NetworkPolicy jobs-in", "spec/ingress/0/from", [], "lets in more than named pods"),
    ("NetworkPolicy jobs-in", "spec/ingress/0/from/0", {"ipBlock": {"cidr": "0.0.0.0/0"}}, "lets in more than named pods"),
    ("NetworkPolicy jobs-in", "spec/ingress/0/from/0", {"namespaceSelector": {}}, "lets in more than named pods"),
    ("NetworkPolicy store", "spec/egress/0/to/0/ipBlock/except", ["10.0.0.0/8"], "lets out to the machine's metadata service"),
    ("NetworkPolicy store", "spec/egress/0/to", ..., "lets out to everywhere"),
]


@pytest.mark.parametrize(("name", "path", "value", "sentence"), MISTAKES)
def test_a_planted_mistake_is_caught(name, path, value, sentence):
    """Misspelt, of the wrong type, missing, or valid and dangerous: named with the object that it is in."""
    found = problems(changed(name, path, value))

    assert any(sentence in problem for problem in found), found
