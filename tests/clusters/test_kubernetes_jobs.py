"""Jobs of Kubernetes through a stand-in for its API that holds them to the published schemas."""

from collections.abc import Iterator

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from finetune_app.jobs import services
from finetune_app.jobs.clusters import dispatch, find_cluster, kubernetes
from finetune_app.jobs.clusters.base import Cluster, ClusterState, Refused, Unavailable
from finetune_app.jobs.models import ClusterJob, WorkerMachine
from finetune_app.jobs.presenters import waiting_headline
from tests.clusters.kubernetes_api import ACCOUNT, KubernetesApi


@pytest.fixture
def api(tmp_path, monkeypatch, settings) -> Iterator[KubernetesApi]:
    api = KubernetesApi(tmp_path / "account")
    monkeypatch.setattr(kubernetes, "ACCOUNT", api.account)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))
    settings.CLUSTER = "kubernetes"
    settings.CLUSTER_OPTIONS = str(ACCOUNT.with_name("job.yaml"))
    yield api
    api.end()


@pytest.fixture
def there(api) -> Cluster:
    found = find_cluster()
    assert found is not None
    return found


def test_a_job_is_made_from_the_template(api, there):
    assert there.submit("finetune-7-ab12", ["7"]) == "finetune-7-ab12"
    job = api.jobs["finetune-7-ab12"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert [*container["command"], *container["args"]] == ["python", "-m", "worker.run_job", "7"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "finetune"
    assert job["spec"]["backoffLimit"] == 0


def test_one_that_is_there_already_is_not_made_twice(api, there):
    for _ in range(2):
        assert there.submit("finetune-7-ab12", ["7"]) == "finetune-7-ab12"
    assert len(api.jobs) == 1


def test_states_are_told_apart(api, there):
    for name in ("queued", "pending", "running", "done", "failed", "theirs"):
        there.submit(name, ["7"])
    api.jobs["queued"]["spec"]["suspend"] = True
    api.jobs["pending"]["status"] = {"active": 1, "ready": 0}
    api.jobs["running"]["status"] = {"active": 1, "ready": 1}
    api.jobs["done"]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "x"}
    api.jobs["failed"]["status"] = {"conditions": [failed]}
    names = ["queued", "pending", "running", "done", "failed", "never there"]
    assert there.states(names) == {
        "queued": ClusterState("queued", "Suspended"),
        "pending": ClusterState("pending", "no pod is ready"),
        "running": ClusterState("running"),
        "done": ClusterState("done", "Complete", has_ended=True),
        "failed": ClusterState("failed", "Failed: BackoffLimitExceeded: x", has_ended=True),
    }


def test_a_job_is_deleted_with_its_pod_once_or_twice(api, there):
    there.submit("finetune-7-ab12", ["7"])
    there.cancel("finetune-7-ab12")
    there.cancel("finetune-7-ab12")
    assert api.deleted == ["finetune-7-ab12"]


def test_what_the_schema_does_not_allow_is_refused_in_its_words(there):
    there._template["spec"]["parallelism"] = "many"
    with pytest.raises(Refused, match="many"):
        there.submit("finetune-7-ab12", ["7"])


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_an_api_that_is_away_is_no_refusal(api, there, status):
    api.status = status
    for ask in (
        lambda: there.submit("a", ["7"]),
        lambda: there.states(["a"]),
        lambda: there.cancel("a"),
    ):
        with pytest.raises(Unavailable, match="the API server is not ready"):
            ask()


def test_nor_is_one_that_nobody_trusts_or_that_hangs_up(api, there):
    api.loses_answers = True
    with pytest.raises(Unavailable):
        there.submit("a", ["7"])
    assert "a" in api.jobs  # though it was made
    api.end()
    with pytest.raises(Unavailable):
        there.states(["a"])


def test_a_new_token_is_read(api, there):
    api.token = "the next one"
    (api.account / "token").write_text(api.token)
    there.submit("a", ["7"])


def test_a_waiting_job_goes_there_and_back(api, there, new_job):
    now = timezone.now()
    WorkerMachine.objects.create(host="node", in_cluster=True, reported_at=now)
    job = new_job()
    api.loses_answers = True
    with pytest.raises(Unavailable):
        dispatch.run_round(there)
    api.loses_answers = False
    for made in api.jobs.values():
        made["spec"]["suspend"] = True  # by Kueue
    dispatch.run_round(there)
    dispatch.run_round(there)
    assert len(api.jobs) == 1
    assert waiting_headline(job) == "Waiting for the cluster (Kubernetes says: Suspended)"
    services.cancel(job)
    dispatch.run_round(there)
    assert api.deleted == [ClusterJob.objects.get(job=job).name]


@pytest.mark.parametrize(
    "content", [None, "", "kind: Pod", "kind: Job\nspec: {template: {spec: {containers: []}}}", "{"]
)
def test_a_file_that_is_no_job_ends_the_start(api, settings, tmp_path, content):
    settings.CLUSTER_OPTIONS = str(tmp_path / "job.yaml")
    if content is not None:
        (tmp_path / "job.yaml").write_text(content)
    with pytest.raises(ImproperlyConfigured, match="Set it to a file with the manifest of a Job"):
        find_cluster()


def test_so_does_a_machine_that_is_no_pod(api, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(ImproperlyConfigured, match="no pod with a service account"):
        find_cluster()
