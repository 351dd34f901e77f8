"""Documents change while a run that looks things up in them is waiting, or was stopped."""

import pytest

from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate, SuggestionRun
from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.knowledge import services
from finetune_app.preferences.models import PreferenceRun
from finetune_app.prompt_sheets.models import PromptSheet
from finetune_app.versions.models import Version
from tests import journey
from tests.factories_live import job
from tests.knowledge.conftest import add, index_documents


@pytest.fixture
def candidate(goal, owner, knowledge) -> Candidate:
    return candidates.rag_candidate(
        goal=journey.ready(goal, owner), base_model=journey.install("b")
    )


def evaluation(candidate: Candidate, job: Job) -> None:
    version = Version.objects.get(dataset__goal=candidate.goal)
    base = candidates.base_candidate(goal=candidate.goal, base_model=candidate.base_model)
    one = Evaluation.objects.create(
        goal=candidate.goal, version=version, job=job, base=base, ours=base, measure="exact"
    )
    one.others.add(candidate)


def verdict_about_it(candidate: Candidate, job: Job) -> None:
    version = Version.objects.get(dataset__goal=candidate.goal)
    base = candidates.base_candidate(goal=candidate.goal, base_model=candidate.base_model)
    Evaluation.objects.create(
        goal=candidate.goal, version=version, job=job, base=base, ours=candidate, measure="exact"
    )


def prompt_sheet(candidate: Candidate, job: Job) -> None:
    sheet = PromptSheet.objects.create(goal=candidate.goal, job=job, max_new_tokens=12)
    sheet.candidates.add(candidate)


def suggest(candidate: Candidate, job: Job) -> None:
    SuggestionRun.objects.create(goal=candidate.goal, candidate=candidate, job=job, rows=1)


def preferences(candidate: Candidate, job: Job) -> None:
    PreferenceRun.objects.create(goal=candidate.goal, candidate=candidate, job=job)


RUNS = [
    ("evaluation", evaluation),
    ("evaluation", verdict_about_it),
    ("prompt_sheet", prompt_sheet),
    ("suggest", suggest),
    ("preferences", preferences),
]


def begin(candidate: Candidate, run, state: State) -> Job:
    kind, create = run
    begun = job(candidate.goal.team, kind, state=state)
    create(candidate, begun)
    return begun


def change_documents(goal, owner, committed) -> None:
    committed(add, goal, owner, "more.md", "# More\n\nThe yard has a tap.")
    committed(index_documents, goal)


def indexes(data_dir, knowledge) -> set[str]:
    return {path.name for path in (data_dir / knowledge.folder).glob("index-*")}


@pytest.mark.parametrize("run", RUNS, ids=[create.__name__ for _kind, create in RUNS])
def test_it_goes_on_with_the_documents_it_began_with(
    run, goal, owner, candidate, knowledge, committed
):
    begun = begin(candidate, run, State.QUEUED)
    for state in (State.STOPPED, State.FAILED, State.QUEUED):
        journey.set_state(begun, state)
        assert services.pinned_indexes(knowledge) == {1}
    change_documents(goal, owner, committed)
    assert handler_for(begun).child_spec(begun)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED])
def test_once_it_is_over_its_index_is_deleted(
    state, goal, owner, candidate, knowledge, committed, data_dir
):
    begin(candidate, RUNS[0], state)
    change_documents(goal, owner, committed)
    assert indexes(data_dir, knowledge) == {"index-2"}


def test_the_evaluation_of_another_goal_keeps_nothing(goal, owner, knowledge, committed, data_dir):
    job(goal.team, "evaluation", state=State.QUEUED)
    change_documents(goal, owner, committed)
    assert indexes(data_dir, knowledge) == {"index-2"}


def test_a_deleted_document_is_gone_from_it_too(
    goal, owner, candidate, knowledge, committed, data_dir, as_editor, url
):
    begin(candidate, RUNS[0], State.STOPPED)
    change_documents(goal, owner, committed)
    address = url("delete", document_id=knowledge.documents.get(name="pump.md").pk)
    page = committed(as_editor.post, address, follow=True).content.decode()
    assert "cannot answer any more" in page
    assert indexes(data_dir, knowledge) == set()


def test_it_goes_on_when_a_document_that_came_later_is_deleted(
    goal, owner, candidate, knowledge, committed
):
    begun = begin(candidate, RUNS[0], State.STOPPED)
    change_documents(goal, owner, committed)
    committed(services.delete_document, document=knowledge.documents.get(name="more.md"))
    assert handler_for(begun).child_spec(begun)
