"""Lists of files, jobs, events and checkpoints: pages, order, filters."""

import openai
import pytest

from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob
from tests.fine_tuning_api.uploads import upload
from tests.journey import end, write


@pytest.fixture
def files(client):
    """Ids of three files, the oldest first."""
    return [upload(client, name=f"{n}.jsonl").id for n in range(3)]


@pytest.fixture
def jobs(client):
    """Ids of three jobs, the oldest first; the last one has no metadata."""
    file = upload(client).id
    return [
        client.fine_tuning.jobs.create(model="starter", training_file=file, metadata=metadata).id
        for metadata in ({"shop": "a", "run": "1"}, {"shop": "a"}, {})
    ]


def test_a_page_says_where_it_begins_and_ends_and_whether_there_is_more(client, files):
    page = client.files.list(limit=2)
    assert [one.id for one in page.data] == files[:0:-1]
    assert (page.has_more, page.first_id, page.last_id) == (True, files[2], files[1])
    rest = client.files.list(limit=2, after=page.last_id)
    assert [one.id for one in rest.data] == files[:1]
    assert not rest.has_more


def test_the_client_reads_all_pages_in_either_order(client, files, jobs):
    listed = [one.id for one in client.files.list(limit=1, order="asc")]
    assert listed[:3] == files
    assert [one.id for one in client.fine_tuning.jobs.list(limit=1)] == jobs[::-1]


def test_files_are_filtered_by_purpose(client, files):
    assert len(client.files.list(purpose="fine-tune").data) == 3
    none = client.files.list(purpose="batch")
    assert (none.data, none.first_id, none.last_id, none.has_more) == ([], "", "", False)


def test_jobs_are_filtered_by_metadata(client, jobs):
    def listed(**metadata: str) -> list[str]:
        return [one.id for one in client.fine_tuning.jobs.list(metadata=metadata)]

    assert listed(shop="a") == jobs[1::-1]
    assert listed(shop="a", run="1") == jobs[:1]
    assert listed(shop="b") == []
    without = client.fine_tuning.jobs.list(extra_query={"metadata": "null"})
    assert [one.id for one in without] == jobs[2:]


def test_events_and_checkpoints_are_paged(client, jobs):
    training = FineTuningJob.objects.get(public_id=jobs[0][6:]).training
    for step in (10, 20, 30):
        training.points.create(step=step, loss=1.0, validation_loss=2.0)
    write(f"{training.adapter_folder}/adapter_model.safetensors", "weights")
    kept = {"10": "b" * 64, "30": "c" * 64}
    end(training.job, adapter="adapter", tokens=9, seconds=3, best_step=20, kept_steps=kept)
    events, checkpoints = client.fine_tuning.jobs.list_events, client.fine_tuning.jobs.checkpoints
    newest = [one.id for one in events(jobs[0], limit=1)]
    assert len(newest) == len(set(newest)) >= 5
    oldest = [one.id for one in events(jobs[0], limit=2, extra_query={"order": "asc"})]
    assert oldest == newest[::-1]
    assert [one.step_number for one in checkpoints.list(jobs[0], limit=1)] == [20, 30, 10]


def test_a_file_of_another_team_is_no_cursor(client, files, stranger):
    theirs = ApiFile.objects.create(team=stranger.teams.get(), name="x", size=1)
    with pytest.raises(openai.NotFoundError) as refused:
        client.files.list(after=theirs.api_id)
    assert refused.value.param == "after"


def test_an_unknown_job_is_no_cursor(client, jobs):
    with pytest.raises(openai.NotFoundError) as refused:
        client.fine_tuning.jobs.list(after="ftjob-1")
    assert refused.value.param == "after"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"order": "newest"}, "order"),
    ],
)
def test_an_invalid_page_is_refused_by_name(client, query, param):
    for read in (client.files.list, client.fine_tuning.jobs.list):
        with pytest.raises(openai.BadRequestError) as refused:
            read(extra_query=query)
        assert refused.value.param == param


def test_an_unknown_cursor_of_events_is_refused(client, jobs):
    for read in (client.fine_tuning.jobs.list_events, client.fine_tuning.jobs.checkpoints.list):
        with pytest.raises(openai.BadRequestError) as refused:
            read(jobs[0], after="ftevent-none")
        assert refused.value.param == "after"
