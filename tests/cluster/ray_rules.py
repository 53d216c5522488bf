"""What must hold in every `ray up` file, beyond Ray's own schema. Each rule gives sentences about what is wrong."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import Shape
from botocore.validate import ParamValidator
from command_lines import ours, refusal, strings
from ray.autoscaler._private.util import prepare_config, validate_config

_IMAGE = re.compile(r".+(:(?!latest$)[\w.\-]+|@sha256:[0-9a-f]{64})$")


def problems(config: dict[str, Any]) -> list[str]:
    """All that is wrong with a cluster file, as sentences; none where it may be used."""
    found = list(_schema(config))
    if found:
        return found
    rules = (_auth, _dashboard, _head_without_work, _groups, _image, _secrets, _commands, _machines)
    return [sentence for rule in rules for sentence in rule(config)]


def _schema(config: dict[str, Any]) -> Iterator[str]:
    """Ray's own preparation and check, as `ray up` does them."""
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except Exception as error:  # jsonschema, click and ValueError alike
        yield f"Ray refuses it: {str(error).splitlines()[0]}"
    for name, node_type in config.get("available_node_types", {}).items():
        extra = node_type.keys() - {"resources", "node_config", "min_workers", "max_workers", "docker", "labels", "initialization_commands", "worker_setup_commands"}
        if extra:
            yield f"{name}: Ray knows no {sorted(extra)}"  # its schema lets these through


def starts(config: dict[str, Any]) -> dict[str, list[str]]:
    """The `ray start` lines of head and workers."""
    return {role: [c for c in config.get(f"{role}_start_ray_commands", []) if "ray start" in c] for role in ("head", "worker")}


def _auth(config: dict[str, Any]) -> Iterator[str]:
    for role, lines in starts(config).items():
        if not lines or not all(re.search(r"\bRAY_AUTH_MODE=token\b[^\n]*ray start", line) for line in lines):
            yield f"token auth is not on where Ray starts on the {role}"
    everything = list(strings(config))
    if any(re.search(r"RAY_AUTH_MODE=(?!token\b)", text) for text in everything):
        yield "token auth is switched off somewhere"
    if any(re.search(r"RAY_AUTH_TOKEN=", text) for text in everything):
        yield "a token is written into the file"
    if not any(target.endswith("/.ray/auth_token") for target in config.get("file_mounts", {})):
        yield "no token reaches the nodes"


def _dashboard(config: dict[str, Any]) -> Iterator[str]:
    if not all(re.search(r"--dashboard-host[= ](127\.0\.0\.1|localhost)\b", line) for line in starts(config)["head"]):
        yield "the dashboard is not bound to loopback"
    if any("0.0.0.0" in text for text in strings(config)):
        yield "something listens to, or is open to, every address"
    if any(re.search(r"(-p|--publish)\b", option) for option in config.get("docker", {}).get("run_options", [])):
        yield "the container publishes a port"
    if config["provider"]["type"] != "local" and not config["provider"].get("use_internal_ips"):
        yield "nodes have public addresses"


def _head_without_work(config: dict[str, Any]) -> Iterator[str]:
    if not all(re.search(r"--num-cpus[= ]0\b", line) for line in starts(config)["head"]):
        yield "the head takes work: no --num-cpus=0"
    types = config.get("available_node_types")
    if types and types[config["head_node_type"]]["resources"].get("CPU") != 0:
        yield "the autoscaler believes that the head takes work"


def _groups(config: dict[str, Any]) -> Iterator[str]:
    """A spot group with GPUs and a CPU group on demand, each of a fixed size; on machines of one's own there is nothing to buy."""
    types = {name: t for name, t in config.get("available_node_types", {}).items() if name != config["head_node_type"]}
    if config["provider"]["type"] == "local":
        return
    spot = {name for name, t in types.items() if _is_spot(t["node_config"])}
    if not any("gpu" in name for name in spot):
        yield "there is no spot group with GPUs"
    if not types.keys() - spot:
        yield "there is no group on demand"
    if _is_spot(config["available_node_types"][config["head_node_type"]]["node_config"]):
        yield "the head is a spot machine"
    for name, node_type in types.items():
        if not node_type.get("min_workers", 0) == node_type.get("max_workers", 0) > 0:
            yield f"{name}: the group has no fixed size"
    if sum(t.get("max_workers", 0) for t in types.values()) > config["max_workers"]:
        yield "max_workers is below the groups' sum"


def _is_spot(node: dict[str, Any]) -> bool:
    return node.get("InstanceMarketOptions", {}).get("MarketType") == "spot" or node.get("scheduling", {}).get("provisioningModel") == "SPOT"


def _image(config: dict[str, Any]) -> Iterator[str]:
    if config["provider"]["type"] == "local":
        return
    images = [config["docker"].get("image", ""), *(t["docker"]["worker_image"] for t in config["available_node_types"].values() if "docker" in t)]
    yield from (f"the image is not pinned: {image!r}" for image in images if not _IMAGE.match(image))
    if not any("/scratch" in option for option in config["docker"]["run_options"]):
        yield "scratch is not on the machine's own disk"


def _secrets(config: dict[str, Any]) -> Iterator[str]:
    if not any(target.endswith("keystore.json") for target in config.get("file_mounts", {})):
        yield "no keystore reaches the nodes"
    for text in strings(config):
        if re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|(SECRET_ACCESS_KEY|PASSWORD)\s*=\s*\S|base64:", text):
            yield "a credential is written into the file"


def _commands(config: dict[str, Any]) -> Iterator[str]:
    lines = [line for text in strings(config) for line in ours(text)]
    yield from (f"faceanon {' '.join(line)}: {refusal(line)}" for line in lines if refusal(line))
    if ["models", "fetch", "--from"] not in [line[:3] for line in lines]:
        yield "weights are not fetched before work starts"


def _machines(config: dict[str, Any]) -> Iterator[str]:
    """What the cloud would say of a machine's description."""
    check = {"aws": _ec2, "gcp": _compute}.get(config["provider"]["type"])
    if check:
        for name, node_type in config["available_node_types"].items():
            yield from (f"{name}: {sentence}" for sentence in check(node_type["node_config"]))


@cache
def _run_instances() -> Shape:
    """botocore ships the shapes of EC2's calls."""
    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def _ec2(node: dict[str, Any]) -> Iterator[str]:
    """SubnetIds is Ray's, which takes one of them."""
    call = {key: value for key, value in node.items() if key != "SubnetIds"}
    report = ParamValidator().validate({**call, "MinCount": 1, "MaxCount": 1}, _run_instances())
    if report.has_errors():
        yield report.generate_report()
    if node.get("MetadataOptions", {}).get("HttpTokens") != "required":
        yield "the metadata service answers without a session"
    if not node.get("SecurityGroupIds"):
        yield "Ray would make a security group that lets SSH in from everywhere"
    if not node.get("IamInstanceProfile"):
        yield "Ray would make an instance profile with full rights over EC2 and S3"
    if not all(disk["Ebs"].get("Encrypted") for disk in node.get("BlockDeviceMappings", [])):
        yield "a disk is not encrypted"


_COMPUTE: dict[str, Any] = {
    "machineType": str,
    "disks": [{"boot": bool, "autoDelete": bool, "type": str, "interface": str, "initializeParams": {"diskSizeGb": int, "sourceImage": str, "diskType": str}}],
    "networkInterfaces": [{"subnetwork": str}],
    "serviceAccounts": [{"email": str, "scopes": [str]}],
    "scheduling": {"provisioningModel": str, "instanceTerminationAction": str, "onHostMaintenance": str, "automaticRestart": bool},
    "shieldedInstanceConfig": {"enableSecureBoot": bool, "enableVtpm": bool, "enableIntegrityMonitoring": bool},
}


def _compute(node: dict[str, Any]) -> Iterator[str]:
    """Only the fields of the Compute Engine API that our file uses are known here."""
    yield from _shape(node, _COMPUTE, "node_config")
    if not node.get("serviceAccounts"):
        yield "Ray would make a service account with the rights of an editor"
    if any("accessConfigs" in interface for interface in node.get("networkInterfaces", [])):
        yield "a machine has a public address"


def _shape(value: Any, shape: Any, where: str) -> Iterator[str]:
    if isinstance(shape, dict) and isinstance(value, dict):
        yield from (f"{where}.{key}: not known" for key in value.keys() - shape.keys())
        for key in value.keys() & shape.keys():
            yield from _shape(value[key], shape[key], f"{where}.{key}")
    elif isinstance(shape, list) and isinstance(value, list):
        for entry in value:
            yield from _shape(entry, shape[0], f"{where}[]")
    elif not (isinstance(shape, type) and type(value) is shape):
        yield f"{where}: got {value!r}"
