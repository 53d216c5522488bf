"""The `ray up` files: Ray's own check, the cloud's shapes and our rules; every mistake that was planted is caught."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from command_lines import ours, refusal
from ray_rules import problems

CLUSTER = Path(__file__).parents[2] / "cluster"
FILES = sorted(path.name for path in CLUSTER.glob("*.yaml"))


def load(name: str) -> dict:
    return yaml.safe_load((CLUSTER / name).read_text())


def change(config: dict, path: str, value: object) -> dict:
    """A copy with one value set (or, with ..., taken out); the path is keys and list positions, joined by dots."""
    config = copy.deepcopy(config)
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    place = config
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return config


def replaced(config: dict, old: str, new: str) -> dict:
    """A copy in whose text `old` has become `new`."""
    text = yaml.safe_dump(config, width=10_000)
    assert old in text, f"the trap is not set: {old!r} is not in the file"
    return yaml.safe_load(text.replace(old, new))


def test_there_is_a_file_for_each_place():
    """AWS, GCP and machines of one's own."""
    assert FILES == ["aws.yaml", "gcp.yaml", "onprem.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_the_file_may_be_used(name):
    """Ray would take it, and no rule of ours is broken."""
    assert problems(load(name)) == []


MISTAKES = {
    "auth off on the head": ("RAY_AUTH_MODE=token ray start --head", "ray start --head", "token auth is not on where Ray starts on the head"),
    "auth disabled": ("--env RAY_AUTH_MODE=token", "--env RAY_AUTH_MODE=disabled", "token auth is switched off somewhere"),
    "token in the file": ("--env TMPDIR=/scratch", "--env RAY_AUTH_TOKEN=abc", "a token is written into the file"),
    "no token": ("/home/faceanon/.ray/auth_token:", "/home/faceanon/other:", "no token reaches the nodes"),
    "dashboard exposed": ("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "the dashboard is not bound to loopback"),
    "dashboard left to chance": ("--dashboard-host=127.0.0.1", "", "the dashboard is not bound to loopback"),
    "head with work": ("--num-cpus=0", "--num-cpus=4", "the head takes work: no --num-cpus=0"),
    "head of unknown size": (" --num-cpus=0", "", "the head takes work: no --num-cpus=0"),
    "image not pinned": ("faceanon:0.1.0-cpu", "faceanon:latest", "the image is not pinned: 'registry.example.com/faceanon:latest'"),
    "image without a tag": ("faceanon:0.1.0-cuda", "faceanon", "the image is not pinned: 'registry.example.com/faceanon'"),
    "no scratch": (":/scratch", ":/data", None),
    "a command of ours that is none": ("faceanon models fetch --from", "faceanon models fetch --form", "weights are not fetched before work starts"),
    "no keystore": ("/home/faceanon/keystore.json:", "/home/faceanon/other.txt:", "no keystore reaches the nodes"),
    "a key in the file": ("--env TMPDIR=/scratch", "--env AWS_SECRET_ACCESS_KEY=abc", "a credential is written into the file"),
}


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_caught(name, mistake):
    """Each of these would work, or nearly, and must not be shipped."""
    old, new, sentence = MISTAKES[mistake]
    broken = replaced(load(name), old, new)
    if mistake == "no scratch":
        broken = replaced(broken, "/scratch", "/data")
        sentence = "scratch is not on the machine's own disk"

    found = problems(broken)

    assert sentence in found


@pytest.mark.parametrize(
    ("name", "path", "value", "sentence"),
    [
        ("aws.yaml", "max_wrokers", 3, "Ray refuses it"),
        ("aws.yaml", "max_workers", "many", "Ray refuses it"),
        ("aws.yaml", "head_node_type", "heat", "Ray refuses it"),
        ("aws.yaml", "available_node_types/gpu_spot/minimum_workers", 1, "Ray knows no ['minimum_workers']"),
        ("aws.yaml", "available_node_types/head/resources", {}, "the autoscaler believes that the head takes work"),
        ("aws.yaml", "available_node_types/gpu_spot/node_config/InstanceMarketOptions", ..., "there is no spot group with GPUs"),
        ("aws.yaml", "available_node_types/gpu_spot/node_config/InstanceTyp", "g6.4xlarge", "Unknown parameter in input"),
        ("aws.yaml", "available_node_types/gpu_spot/node_config/BlockDeviceMappings/0/Ebs/VolumeSize", "100", "Invalid type for parameter"),
        ("aws.yaml", "available_node_types/cpu_on_demand/node_config/MetadataOptions", ..., "the metadata service answers without a session"),
        ("aws.yaml", "available_node_types/cpu_on_demand/node_config/SecurityGroupIds", [], "SSH in from everywhere"),
        ("aws.yaml", "available_node_types/head/node_config/IamInstanceProfile", ..., "full rights over EC2"),
        ("aws.yaml", "available_node_types/head/node_config/BlockDeviceMappings/0/Ebs/Encrypted", False, "a disk is not encrypted"),
        ("aws.yaml", "available_node_types/cpu_on_demand/max_workers", 9, "the group has no fixed size"),
        ("aws.yaml", "provider/use_internal_ips", False, "nodes have public addresses"),
        ("aws.yaml", "docker/run_options/0", "--publish 8265:8265", "the container publishes a port"),
        ("gcp.yaml", "available_node_types/gpu_spot/node_config/scheduling/provisioningModel", "STANDARD", "there is no spot group with GPUs"),
        ("gcp.yaml", "available_node_types/head/node_config/machinetype", "n2-standard-4", "node_config.machinetype: not known"),
        ("gcp.yaml", "available_node_types/head/node_config/disks/0/boot", "yes", "node_config.disks[].boot: got 'yes'"),
        ("gcp.yaml", "available_node_types/cpu_on_demand/node_config/serviceAccounts", ..., "the rights of an editor"),
        ("onprem.yaml", "provider/head_ip", ..., "Ray refuses it"),
        ("onprem.yaml", "available_node_types", {"a": {}}, "Ray refuses it"),
        ("onprem.yaml", "head_start_ray_commands/1", "RAY_AUTH_MODE=none ray start --head --num-cpus=0", "token auth is switched off somewhere"),
        ("onprem.yaml", "head_start_ray_commands/1", "RAY_AUTH_MODE=token ray start --head --num-cpus=0", "the dashboard is not bound to loopback"),
    ],
)
def test_a_wrong_field_is_caught(name, path, value, sentence):
    """Misspelt, missing or of another type, in Ray's part of the file and in the cloud's."""
    found = problems(change(load(name), path, value))

    assert any(sentence in problem for problem in found), found


@pytest.mark.parametrize("name", ["faceanon-ray-head.service", "faceanon-ray-worker.service"])
def test_the_units_start_ray_as_the_files_do(name):
    """Token auth on, secrets as credentials, the head without work and with its dashboard on loopback, and no `ray stop`, which would end others' Ray too."""
    text = (CLUSTER / "systemd" / name).read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "["))]
    start = next(line for line in lines if line.startswith("ExecStart="))

    assert all("=" in line for line in lines)
    assert "Environment=RAY_AUTH_MODE=token" in lines
    assert {"LoadCredential=auth_token:/etc/faceanon/auth_token", "LoadCredential=keystore.json:/etc/faceanon/keystore.json", "User=faceanon"} <= set(lines)
    assert "ray stop" not in text
    assert "--block" in start
    assert ("--head" in start) == ("--num-cpus=0" in start) == ("--dashboard-host=127.0.0.1" in start) == ("head" in name)
    assert [refusal(line) for line in ours(text)] == [""] * len(ours(text))


def test_machines_may_do_little():
    """No policy allows every action of a service; only looking at machines may be about all of them; originals are never written, and deleted by retention alone."""
    for path in sorted((CLUSTER / "iam").glob("*.json")):
        for statement in json.loads(path.read_text())["Statement"]:
            assert not any("*" in action for action in statement["Action"]), path
            if statement["Resource"] == "*":
                assert all(re.match(r"ec2:Describe", action) for action in statement["Action"]), path
            if {"s3:PutObject", "s3:DeleteObject"} & set(statement["Action"]):
                assert not any("archive.example" in resource for resource in statement["Resource"]), path
            assert ("s3:DeleteObjectVersion" in statement["Action"]) <= (path.name == "aws-retention.json"), path
