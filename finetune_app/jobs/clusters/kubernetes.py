"""Kubernetes: a Job for each of ours, made through the API as the service account of this pod.

CLUSTER_OPTIONS names a file with the Job to start from: image, resources, volumes, secrets, and the
label by which Kueue queues it. Never run on a live cluster.
"""

import copy
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from finetune_app.jobs.clusters.base import ClusterState, Refused, Unavailable

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ANSWER_SECONDS = 20.0
OURS = ("app.kubernetes.io/managed-by", "finetune")  # a label
EXISTS, NOT_FOUND = 409, 404
NO_ANSWER = (401, 408, 429)  # and 500 and above


class Kubernetes:
    title = "Kubernetes"

    def __init__(self) -> None:
        self._template = _read_template(settings.CLUSTER_OPTIONS)
        try:
            namespace = (ACCOUNT / "namespace").read_text().strip()
            host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
            trusted = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
        except (OSError, KeyError) as error:
            raise ImproperlyConfigured(
                "CLUSTER is kubernetes, but this is no pod with a service account "
                f"({error}). See docs/kubernetes.md, or leave CLUSTER out."
            ) from None
        host = f"[{host}]" if ":" in host else host
        self._jobs = f"https://{host}:{port}/apis/batch/v1/namespaces/{namespace}/jobs"
        self._client = httpx.Client(verify=trusted, timeout=ANSWER_SECONDS, trust_env=False)

    def submit(self, name: str, arguments: Sequence[str]) -> str:
        job = copy.deepcopy(self._template)
        job.setdefault("metadata", {})["name"] = name
        job["metadata"].setdefault("labels", {})[OURS[0]] = OURS[1]
        job["spec"]["backoffLimit"] = 0  # Finetune itself tries again
        pod = job["spec"]["template"]["spec"]
        pod["restartPolicy"] = "Never"
        pod["containers"][0]["args"] = list(arguments)
        answer = self._ask("POST", json=job)
        if answer.is_error and answer.status_code != EXISTS:
            raise Refused(_message(answer))
        return name

    def states(self, names: Sequence[str]) -> dict[str, ClusterState]:
        answer = self._ask("GET", params={"labelSelector": "=".join(OURS)})
        if answer.is_error:
            raise Unavailable(_message(answer))
        jobs = {one["metadata"]["name"]: one for one in answer.json()["items"]}
        return {name: _state(name, jobs[name]) for name in names if name in jobs}

    def cancel(self, name: str) -> None:
        answer = self._ask("DELETE", f"/{name}", params={"propagationPolicy": "Background"})
        if answer.is_error and answer.status_code != NOT_FOUND:
            raise Unavailable(_message(answer))

    def _ask(self, method: str, path: str = "", **content: Any) -> httpx.Response:
        """Raises Unavailable."""
        try:
            token = (ACCOUNT / "token").read_text().strip()  # a new one every hour
            answer = self._client.request(
                method, self._jobs + path, headers={"Authorization": f"Bearer {token}"}, **content
            )
        except (httpx.HTTPError, OSError) as error:
            raise Unavailable(str(error)) from error
        if answer.status_code in NO_ANSWER or answer.is_server_error:
            raise Unavailable(_message(answer))
        return answer


def _read_template(path: str) -> dict[str, Any]:
    """Raises ImproperlyConfigured where there is no Job with a container."""
    try:
        found = yaml.safe_load(Path(path).read_text())
        if found["kind"] != "Job":
            raise ValueError(f"its kind is {found['kind']}")
        found["spec"]["template"]["spec"]["containers"][0]["command"]
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"CLUSTER_OPTIONS is {path!r}. Set it to a file with the manifest of a Job, as in "
            f"deploy/kubernetes/cluster/job.yaml ({type(error).__name__}: {error})."
        ) from None
    template: dict[str, Any] = found
    return template


def _state(name: str, job: Mapping[str, Any]) -> ClusterState:
    status = job.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            words = (condition["type"], condition.get("reason", ""), condition.get("message", ""))
            return ClusterState(name, ": ".join(filter(None, words)), has_ended=True)
    if job["spec"].get("suspend"):  # so Kueue keeps it until there is room
        return ClusterState(name, "Suspended")
    return ClusterState(name, "" if status.get("ready") else "no pod is ready")


def _message(answer: httpx.Response) -> str:
    """The API's own words where it sent some."""
    try:
        return str(answer.json()["message"])
    except (ValueError, LookupError, TypeError):
        return f"HTTP {answer.status_code}"
