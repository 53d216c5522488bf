"""Closed schemas of the custom kinds that our manifests use: a field that is not listed is a mistake.

Written from the published types of KubeRay 1.7, Kueue 0.17 and prometheus-operator 0.80, by hand: only the fields that we use or might
use. Pods, metadata and selectors are Kubernetes' own types. What an operator checks beyond types (CEL rules, webhooks) is not here,
but for the few rules in kubernetes_rules.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _own(required: str = "", **fields: Schema) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def _kubernetes(name: str) -> Schema:
    return {"$ref": f"https://kubernetes.io/api/_definitions.json#/$defs/io.k8s.{name}"}


def _many(entry: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": entry, **more}


def _one_of(*values: str) -> Schema:
    return {"enum": list(values)}


STRING, BOOLEAN, COUNT, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 0}, {"type": "number", "minimum": 0}
NAME = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", "maxLength": 253}
QUANTITY = {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+|[numkKMGTPE]|[KMGTPE]i)?$"}]}
STRINGS = {"type": "object", "additionalProperties": STRING}
DURATION = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h))+$"}
META = {"allOf": [_kubernetes("apimachinery.pkg.apis.meta.v1.ObjectMeta"), {"required": ["name"], "properties": {"name": NAME}}]}
SELECTOR = _kubernetes("apimachinery.pkg.apis.meta.v1.LabelSelector")
POD = {
    "allOf": [
        _kubernetes("api.core.v1.PodTemplateSpec"),
        {"required": ["spec"], "properties": {"spec": {"properties": {"containers": _many({"required": ["name", "image"]}, minItems=1)}}}},
    ]
}
RESOURCES, CONTEXT, VARIABLE = (_kubernetes(f"api.core.v1.{name}") for name in ("ResourceRequirements", "SecurityContext", "EnvVar"))

_HEAD = _own(
    "rayStartParams template",
    template=POD, rayStartParams=STRINGS, serviceType=_one_of("ClusterIP", "NodePort", "LoadBalancer"), enableIngress=BOOLEAN,
    headService=_kubernetes("api.core.v1.Service"), resources=STRINGS, labels=STRINGS,
)  # fmt: skip
_WORKERS = _own(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName=NAME, replicas=COUNT, minReplicas=COUNT, maxReplicas=COUNT, numOfHosts=COUNT, idleTimeoutSeconds=COUNT, priority=COUNT,
    rayStartParams=STRINGS, template=POD, resources=STRINGS, labels=STRINGS, suspend=BOOLEAN, scaleStrategy=_own(workersToDelete=_many(STRING)),
)  # fmt: skip
_AUTOSCALER = _own(
    resources=RESOURCES, image=STRING, imagePullPolicy=_one_of("Always", "IfNotPresent", "Never"), securityContext=CONTEXT, idleTimeoutSeconds=COUNT,
    upscalingMode=_one_of("Default", "Aggressive", "Conservative"), version=_one_of("v1", "v2"), env=_many(VARIABLE),
)  # fmt: skip
_CLUSTER = _own(
    "headGroupSpec",
    headGroupSpec=_HEAD, workerGroupSpecs=_many(_WORKERS), rayVersion=STRING, enableInTreeAutoscaling=BOOLEAN, autoscalerOptions=_AUTOSCALER,
    authOptions=_own(mode=_one_of("disabled", "token"), secretName=NAME, enableK8sTokenAuth=BOOLEAN), suspend=BOOLEAN, headServiceAnnotations=STRINGS,
    managedBy=_one_of("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"), upgradeStrategy=_own(type=_one_of("Recreate", "None")),
)  # fmt: skip
_CONDITION = _own(jobStatus=_one_of("SUCCEEDED", "FAILED"), jobDeploymentStatus=_one_of("Failed"), ttlSeconds=COUNT)
_DELETION = _own("policy condition", policy=_one_of("DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"), condition=_CONDITION)
_JOB = _own(
    entrypoint=STRING, runtimeEnvYAML=STRING, jobId=STRING, metadata=STRINGS, rayClusterSpec=_CLUSTER, clusterSelector=STRINGS, suspend=BOOLEAN,
    submissionMode=_one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"), submitterPodTemplate=POD, submitterConfig=_own(backoffLimit=COUNT),
    backoffLimit=COUNT, activeDeadlineSeconds={"type": "integer", "minimum": 1}, shutdownAfterJobFinishes=BOOLEAN, ttlSecondsAfterFinished=COUNT,
    entrypointNumCpus=NUMBER, entrypointNumGpus=NUMBER, entrypointResources=STRING, managedBy=_one_of("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    deletionStrategy=_own("deletionRules", deletionRules=_many(_DELETION, minItems=1)),
)  # fmt: skip

_QUOTA = _own("name nominalQuota", name=STRING, nominalQuota=QUANTITY, borrowingLimit=QUANTITY, lendingLimit=QUANTITY)
_FLAVORS = _many(_own("name resources", name=NAME, resources=_many(_QUOTA, minItems=1)), minItems=1)
_STOP = _one_of("None", "Hold", "HoldAndDrain")
_PREEMPTION = _own(reclaimWithinCohort=_one_of("Never", "LowerPriority", "Any"), withinClusterQueue=_one_of("Never", "LowerPriority", "LowerOrNewerEqualPriority"))
_QUEUE = _own(
    resourceGroups=_many(_own("coveredResources flavors", coveredResources=_many(STRING, minItems=1), flavors=_FLAVORS), maxItems=16),
    cohortName=NAME, queueingStrategy=_one_of("StrictFIFO", "BestEffortFIFO"), namespaceSelector=SELECTOR, preemption=_PREEMPTION, stopPolicy=_STOP,
)  # fmt: skip
_FLAVOR = _own(nodeLabels=STRINGS, nodeTaints=_many(_kubernetes("api.core.v1.Taint")), tolerations=_many(_kubernetes("api.core.v1.Toleration")), topologyName=NAME)

_ENDPOINT = _own("port", port=STRING, path=STRING, interval=DURATION, scrapeTimeout=DURATION, scheme=_one_of("http", "https", "HTTP", "HTTPS"), honorLabels=BOOLEAN)
_NAMESPACES = _own(any=BOOLEAN, matchNames=_many(NAME))
_WHERE = {"selector": SELECTOR, "namespaceSelector": _NAMESPACES, "jobLabel": STRING}
_SERVICES = _own("endpoints selector", endpoints=_many(_ENDPOINT, minItems=1), targetLabels=_many(STRING), **_WHERE)
_PODS = _own("podMetricsEndpoints selector", podMetricsEndpoints=_many(_ENDPOINT, minItems=1), podTargetLabels=_many(STRING), **_WHERE)


def _kind(spec: Schema) -> Schema:
    return _own("apiVersion kind metadata spec", apiVersion=STRING, kind=STRING, metadata=META, spec=spec)


KINDS: dict[tuple[str, str], Schema] = {
    ("ray.io/v1", "RayCluster"): _kind(_CLUSTER),
    ("ray.io/v1", "RayJob"): _kind(_JOB),
    ("kueue.x-k8s.io/v1beta2", "ResourceFlavor"): _kind(_FLAVOR),
    ("kueue.x-k8s.io/v1beta2", "ClusterQueue"): _kind(_QUEUE),
    ("kueue.x-k8s.io/v1beta2", "LocalQueue"): _kind(_own(clusterQueue=NAME, stopPolicy=_STOP)),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _kind(_SERVICES),
    ("monitoring.coreos.com/v1", "PodMonitor"): _kind(_PODS),
}
