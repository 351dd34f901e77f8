"""deploy/kubernetes/cluster: what it changes of the folder above, and the Job that is made."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from finetune_app.jobs.clusters.kubernetes import OURS, _read_template
from tests.operations.test_kubernetes import FOLDER, VERSION, manifests

CLUSTER = FOLDER / "cluster"
KUSTOMIZATION = yaml.safe_load((CLUSTER / "kustomization.yaml").read_text())


def account() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / "account.yaml").read_text()))


def job() -> dict[str, Any]:
    return _read_template(str(CLUSTER / "job.yaml"))


def patched() -> list[dict[str, Any]]:
    """What kubectl would apply of the folder above."""
    found = manifests()
    for patch in KUSTOMIZATION["patches"]:
        target = patch["target"]
        [chosen] = [
            one
            for one in found
            if (one["kind"], one["metadata"]["name"]) == (target["kind"], target["name"])
        ]
        for operation in yaml.safe_load(patch["patch"]):
            _apply(chosen, **operation)
    return found


def _apply(manifest: Any, op: str, path: str, value: Any) -> None:
    """As RFC 6902 says, as far as it is used here."""
    *parents, last = path.lstrip("/").split("/")
    for name in parents:
        manifest = manifest[int(name)] if name.isdecimal() else manifest[name]
    if last == "-":
        manifest.append(value)
    else:
        assert op == "add" or last in manifest
        manifest[last] = value


@pytest.mark.parametrize("manifest", [*patched(), *account(), job()], ids=lambda one: one["kind"])
def test_it_is_valid(manifest):
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_only_the_clock_may_make_jobs_and_finds_the_one_to_start_from():
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in patched()
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    }
    names = {one["kind"]: one["metadata"]["name"] for one in account()}
    with_account = [name for name, pod in pods.items() if pod["automountServiceAccountToken"]]
    assert with_account == ["clock"]
    assert pods["clock"]["serviceAccountName"] == names["ServiceAccount"]
    [options] = [
        one["data"]["CLUSTER_OPTIONS"] for one in patched() if one["metadata"]["name"] == "finetune"
    ]
    [generated] = KUSTOMIZATION["configMapGenerator"]
    volume = {"name": "job", "configMap": {"name": generated["name"]}}
    assert volume in pods["clock"]["volumes"]
    mounted = {"name": "job", "mountPath": options.removesuffix("/job.yaml"), "readOnly": True}
    assert mounted in pods["clock"]["containers"][0]["volumeMounts"]
    assert generated["files"] == ["job.yaml"]


def test_no_worker_for_heavy_jobs_runs_beside_it():
    replicas = {
        one["metadata"]["name"]: one["spec"]["replicas"]
        for one in patched()
        if one["kind"] == "Deployment"
    }
    assert (replicas["heavy"], replicas["heavy-gpu"]) == (0, 0)


def test_the_job_is_what_a_heavy_worker_would_be():
    """The same limits, files and rights; and it reaches the engines."""
    [worker] = [one for one in manifests() if one["metadata"]["name"] == "heavy-gpu"]
    theirs, ours = worker["spec"]["template"]["spec"], job()["spec"]["template"]["spec"]
    for name in ("securityContext", "volumes", "automountServiceAccountToken"):
        assert ours[name] == theirs[name]
    for name in ("envFrom", "resources", "securityContext", "volumeMounts"):
        assert ours["containers"][0][name] == theirs["containers"][0][name]
    assert job()["spec"]["template"]["metadata"]["labels"]["app"] == "finetune"
    assert OURS[0] not in job()["metadata"]["labels"]  # the clock adds it
