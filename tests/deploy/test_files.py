"""The files of the deployment, read by the tools that know them and by the product itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from collector.credentials import Credentials
from collector.signals import Signal
from spanverdict.cli import main
from spanverdict.config import ConfigError, load
from spanverdict.listeners import credentials_of, exposures

COMPOSE = ("compose.yaml", "compose.single.yaml")
CLUSTERS = ("kubernetes", "kubernetes/single")
KUBERNETES = "1.34"
SECRET = "spanverdict-credentials"
"""What the operator makes; everything else that is named has to be there."""


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a checker; whatever it finds is shown."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file, merge keys and anchors resolved."""
    return list(YAML(typ="safe", pure=True).load_all(path.read_text("utf-8")))


def resources(cluster: Path) -> list[dict[str, Any]]:
    """What a kustomization applies, that which it generates included."""
    (kustomization,) = documents(cluster / "kustomization.yaml")
    found = [{"kind": "ConfigMap", "metadata": {"name": each["name"]}} for each in kustomization["configMapGenerator"]]
    for name in kustomization["resources"]:
        path = cluster / name
        found += resources(path) if path.is_dir() else documents(path)
    return found


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest, deploy: Path) -> list[dict[str, Any]]:
    """The resources of each way into Kubernetes."""
    return resources(deploy / request.param)


def of_kind(cluster: list[dict[str, Any]], *kinds: str) -> dict[str, dict[str, Any]]:
    """Resources by their names."""
    return {each["metadata"]["name"]: each for each in cluster if each["kind"] in kinds}


def pods(cluster: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The templates of pods, by the name of what makes them."""
    made = of_kind(cluster, "Deployment", "StatefulSet").items()
    return {name: each["spec"]["template"] for name, each in made}


def containers(cluster: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every container."""
    for pod in pods(cluster).values():
        yield from pod["spec"]["containers"]


def test_the_dockerfile_passes_its_linter(deploy: Path, tool: Callable[[str], str]) -> None:
    """Hadolint finds nothing."""
    run(tool("hadolint"), deploy / "Dockerfile")


def test_yaml_is_tidy(deploy: Path, tool: Callable[[str], str]) -> None:
    """Yamllint finds nothing: no key twice, no indentation that misleads."""
    run(tool("yamllint"), "--strict", "--config-file", deploy / ".yamllint.yaml", deploy)


def test_shell_scripts_parse(deploy: Path) -> None:
    """A POSIX shell reads them."""
    for script in deploy.glob("*.sh"):
        run("sh", "-n", script)


def test_compose_files_fit_the_compose_specification(deploy: Path, tool: Callable[[str], str]) -> None:
    """The schema of compose-spec.io takes them."""
    files = [deploy / name for name in COMPOSE]
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", *files)


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_are_taken_by_compose(secrets: Path, tool: Callable[[str], str], name: str) -> None:
    """Compose itself finds every service, network, volume and secret that is named."""
    compose = shutil.which("docker-compose")
    command = [compose] if compose else [tool("docker"), "compose"]
    if not compose and subprocess.run([*command, "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker is here without compose")
    run(*command, "--file", secrets.parent / name, "--profile", "demo", "config", "--quiet")


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_services_are_contained(deploy: Path, name: str) -> None:
    """Each service has a read-only root, no capabilities, no way to more, and a health check."""
    (compose,) = documents(deploy / name)
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        # That of spanverdict is the image's.
        assert "healthcheck" in service or service["image"].startswith("spanverdict:")
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_drawn_secrets_make_a_configuration(secrets: Path) -> None:
    """The script draws a token, keeps what is there, and the server lets in whoever has that token and nobody else."""
    script = secrets.parent / "make-secrets.sh"
    run(script)
    first = {path.name: path.read_bytes() for path in secrets.iterdir()}
    run(script)
    assert first == {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert secrets.stat().st_mode & 0o777 == 0o700
    # Bind mounts keep the mode, and the containers' users are not the operator.
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o644}
    credentials: Credentials = credentials_of(load(secrets / "spanverdict.toml"))
    token = (secrets / "sender_token").read_text("ascii")
    assert credentials.find(f"Bearer {token}", Signal.TRACES).name == "senders"
    (compose,) = documents(secrets.parent / "compose.yaml")
    named = {Path(secret["file"]).name for secret in compose["secrets"].values()}
    assert named == set(first)


@pytest.mark.parametrize("cluster_name", CLUSTERS)
def test_a_cluster_starts_only_with_tokens(deploy: Path, tmp_path: Path, cluster_name: str) -> None:
    """As it is shipped the configuration is refused in one sentence; with a token's hash it is whole."""
    shipped = deploy / cluster_name / "spanverdict.toml"
    with pytest.raises(ConfigError, match=r"'tokens\.0\.sha256' cannot be used"):
        load(shipped)
    filled = tmp_path / "spanverdict.toml"
    filled.write_text(shipped.read_text("utf-8").replace("fill this in", "ab" * 32), "utf-8")
    assert not [warning for warning in exposures(load(filled)) if "without tokens" in warning]


def test_variables_and_commands_exist(deploy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every SPANVERDICT_… variable of the files sets a key of the configuration, every command is one."""
    set_there: list[Mapping[str, str]] = []
    commands: list[list[str]] = []
    for name in COMPOSE:
        (compose,) = documents(deploy / name)
        ours = [
            each
            for each in compose["services"].values()
            if "entrypoint" not in each and "spanverdict:" in each["image"]
        ]
        set_there += [service.get("environment", {}) for service in ours]
        commands += [service.get("command", ["serve"]) for service in ours]
    for name in CLUSTERS:
        ours = [each for each in containers(resources(deploy / name)) if each["name"] == "spanverdict"]
        set_there += [{each["name"]: each["value"] for each in container.get("env", [])} for container in ours]
        commands += [container["args"] for container in ours]
    assert {command for command, *_ in commands} <= set(main.commands)
    for variables in set_there:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            load(None)


def test_kubernetes_takes_the_manifests(deploy: Path, tool: Callable[[str], str]) -> None:
    """The API's own schemas take every resource, with no field that they do not know."""
    folders = [deploy / name for name in (*CLUSTERS, "load-balancer")]
    files = [path for folder in folders for path in sorted(folder.glob("*.yaml")) if path.name != "kustomization.yaml"]
    checked = run(tool("kubernetes-validate"), "--strict", "--kubernetes-version", KUBERNETES, *files)
    assert len(re.findall("passed for resource", checked.stdout + checked.stderr)) >= len(files)


@pytest.mark.parametrize("name", CLUSTERS)
def test_kustomize_builds(deploy: Path, tool: Callable[[str], str], name: str) -> None:
    """Kustomize makes one stream of each folder, names of generated ConfigMaps put in everywhere."""
    built = run(tool("kubectl"), "kustomize", deploy / name).stdout
    assert not re.findall(r"configMap:\n\s+name: spanverdict\n", built)
    assert "image: registry.example.com/spanverdict:0.1.0" in built


def test_pods_fit_the_restricted_standard(cluster: list[dict[str, Any]]) -> None:
    """Pod Security Standards, restricted, and more: a read-only root, limits of memory, no token of the API."""
    for pod in pods(cluster).values():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(cluster):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert "memory" in container["resources"]["limits"]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}


def test_what_manifests_name_is_there(cluster: list[dict[str, Any]]) -> None:
    """Ports, labels, ConfigMaps, volumes and targets that one resource names are another's."""
    templates = pods(cluster)
    for template in templates.values():
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        claims = [each["spec"].get("volumeClaimTemplates", []) for each in of_kind(cluster, "StatefulSet").values()]
        known = volumes.keys() | {claim["metadata"]["name"] for each in claims for claim in each}
        configured = {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
        assert configured <= of_kind(cluster, "ConfigMap").keys()
        for container in template["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= known
            assert {each["secretRef"]["name"] for each in container.get("envFrom", [])} <= {SECRET}
            ports = {port["name"] for port in container.get("ports", [])}
            probes = [probe for name, probe in container.items() if name.endswith("Probe")]
            assert {
                next(iter(kind["port"] for kind in probe.values() if isinstance(kind, dict))) for probe in probes
            } <= ports
    labels = [template["metadata"]["labels"] for template in templates.values()]
    for service in of_kind(cluster, "Service").values():
        chosen = [
            each
            for each in templates.values()
            if service["spec"]["selector"].items() <= each["metadata"]["labels"].items()
        ]
        assert len(chosen) == 1
        ports = {port["name"] for container in chosen[0]["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for policy in of_kind(cluster, "PodDisruptionBudget", "NetworkPolicy").values():
        wanted = policy["spec"].get("podSelector", policy["spec"].get("selector")).get("matchLabels", {})
        assert any(wanted.items() <= each.items() for each in labels)


def test_the_autoscaler_stays_within_the_load_balancers_places(deploy: Path) -> None:
    """There are at most as many collectors as the load balancer has places for."""
    (scaler,) = of_kind(resources(deploy / "kubernetes"), "HorizontalPodAutoscaler").values()
    text = (deploy / "load-balancer" / "haproxy.cfg").read_text("utf-8")
    places = {int(places) for places in re.findall(r"server-template \w+ (\d+) ", text)}
    assert scaler["spec"]["scaleTargetRef"]["name"] in pods(resources(deploy / "kubernetes"))
    assert min(places) >= scaler["spec"]["maxReplicas"] + 1


def test_the_load_balancers_configuration_is_valid(deploy: Path, tool: Callable[[str], str]) -> None:
    """HAProxy's own check takes it."""
    run(tool("haproxy"), "-c", "-f", deploy / "load-balancer" / "haproxy.cfg", COLLECTORS="collector")
