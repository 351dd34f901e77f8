"""deploy/kubernetes: valid for the published schemas; it starts what `make run` starts."""

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings

from finetune_app.core.environment import FILES_FOR
from finetune_app.operations.management.commands.up import web_command, worker_command

FOLDER = settings.BASE_DIR / "deploy/kubernetes"
VERSION = "1.34"  # named in docs/kubernetes.md
MOUNTED = "/run/secrets/finetune/"


def manifests() -> list[dict[str, Any]]:
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in yaml.safe_load_all((FOLDER / name).read_text())]


def workloads() -> Iterator[tuple[str, dict[str, Any]]]:
    for one in manifests():
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield one["metadata"]["name"], one["spec"]


def pod_of(name: str) -> dict[str, Any]:
    return dict(workloads())[name]["template"]["spec"]


def container_of(name: str) -> dict[str, Any]:
    [container] = pod_of(name)["containers"]
    return container


def config() -> dict[str, str]:
    [found] = [one["data"] for one in manifests() if one["kind"] == "ConfigMap"]
    return found


@pytest.mark.parametrize(
    "manifest",
    [pytest.param(one, id=f"{one['kind']}-{one['metadata']['name']}") for one in manifests()],
)
def test_it_is_valid(manifest):
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_every_file_is_in_the_kustomization():
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in FOLDER.glob("*.yaml")} == {*listed, "kustomization.yaml"}


@pytest.mark.parametrize(
    ("name", "lane", "processes"),
    [("light", "light", 2), ("heavy", "heavy", 1), ("heavy-gpu", "heavy", 1)],
)
def test_workers_are_started_as_on_one_computer(name, lane, processes):
    assert container_of(name)["command"] == worker_command(lane, processes)[2:]
    assert {"name": "FINETUNE_LANE", "value": lane} in container_of(name)["env"]


def test_so_is_the_web():
    assert container_of("web")["command"] == web_command()[2:]


def test_engines_are_named_one_by_one():
    replicas = dict(workloads())["engine"]["replicas"]
    listens = {one["name"]: one["value"] for one in container_of("engine")["env"]}["ENGINE_LISTEN"]
    port = listens.rpartition(":")[2]
    assert config()["ENGINES"] == ",".join(f"engine-{n}.engine:{port}" for n in range(replicas))


def test_a_card_is_asked_for_by_one_kind_of_worker():
    with_card = [
        name
        for name, _spec in workloads()
        if "nvidia.com/gpu" in container_of(name)["resources"]["limits"]
    ]
    assert with_card == ["heavy-gpu"]


@pytest.mark.parametrize("name", [name for name, _spec in workloads()])
def test_pods_may_do_little_and_are_watched(name):
    assert pod_of(name)["securityContext"]["runAsNonRoot"]
    assert not pod_of(name)["automountServiceAccountToken"]
    for container in [*pod_of(name)["containers"], *pod_of(name).get("initContainers", [])]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["resources"]["limits"]["memory"]
    assert name == "prepare" or container_of(name)["livenessProbe"]


def test_secrets_are_files_that_the_settings_read():
    """And docs/kubernetes.md makes each of them."""
    told = (settings.BASE_DIR / "docs/kubernetes.md").read_text()
    files = {name: path for name, path in config().items() if name.endswith("_FILE")}
    assert {"SECRET_KEY_FILE", "FIELD_KEYS_FILE", "KEY_PEPPER_FILE", "ENGINE_SECRET_FILE"} <= set(
        files
    )
    for name, path in files.items():
        assert name.removesuffix("_FILE") in FILES_FOR
        assert f"--from-literal={path.removeprefix(MOUNTED)}=" in told
    assert not any(
        "PASSWORD" in name or "SECRET" in name for name in config().keys() - files.keys()
    )


def test_the_version_in_the_docs_is_the_one_that_was_validated():
    assert f"Kubernetes {VERSION}" in (settings.BASE_DIR / "docs/kubernetes.md").read_text()
