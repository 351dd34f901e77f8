"""Step 4 follows the goal's method: the rail, the methods on its pages, the next action."""

import html

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.candidates import services as candidates
from finetune_app.goals import services as goals
from finetune_app.goals.models import Goal
from finetune_app.guide.progress import progress_of
from finetune_app.guide.rail import rail, step_of
from finetune_app.guide.steps import DOCUMENTS, INSTRUCTIONS, TRAINING
from finetune_app.knowledge.models import Document, Knowledge
from tests import journey
from tests.guide.wizard.conftest import READY, advised  # noqa: F401
from tests.page_text import compact


def with_method(goal, method) -> Goal:
    return goals.choose_method(goal=goal, method=method)


def step_4(goal):
    return rail(Goal.objects.get(pk=goal.pk), "training:page")[3]


def next_action(goal) -> tuple[int, str, str]:
    (found,) = progress_of([Goal.objects.get(pk=goal.pk)])
    return found.next.step, found.next.label, found.next.state


def save_instructions(goal):
    made = candidates.prompt_candidate(
        goal=goal, base_model=goal.base_choice.base_model, instructions="Sort it.", shots=[]
    )
    made.saved = True
    made.save()
    return made


def add_documents(goal, index=1):
    knowledge = Knowledge.objects.create(
        goal=goal, index=index, indexed_at=timezone.now() if index else None
    )
    Document.objects.create(knowledge=knowledge, name="Prices.pdf", state=Document.State.READY)
    return knowledge


@pytest.mark.parametrize(
    ("method", "name", "method_option"),
    [
        ("prompt", "Instructions", INSTRUCTIONS),
        ("rag", "Documents", DOCUMENTS),
        ("fine_tune", "Training", TRAINING),
        ("rag_then_fine_tune", "Documents, training", DOCUMENTS),
    ],
)
def test_step_4_is_named_after_the_method(goal, method, name, method_option):
    with_method(goal, method)
    step = step_4(goal)
    assert (step.name, step.url) == (name, method_option.url(goal))


def test_after_documents_step_4_links_to_training(goal):
    with_method(goal, "rag_then_fine_tune")
    add_documents(goal)
    assert step_4(goal).url == TRAINING.url(goal)


def test_without_training_step_2_asks_for_test_questions(goal):
    with_method(goal, "prompt")
    assert rail(goal, "goals")[1].fact == "What it is tested with"


@pytest.mark.parametrize("method", ["prompt", "rag"])
def test_without_training_the_rail_counts_questions(goal, owner, method):
    with_method(goal, method)
    journey.freeze(goal, owner).delete()
    assert rail(goal, "goals")[1].fact == "60 questions"
    journey.freeze(goal, owner)
    assert rail(goal, "goals")[1].fact == "60 questions, version 1"
    with_method(goal, "fine_tune")
    assert rail(goal, "goals")[1].fact == "60 examples, version 1"


def test_pages_belong_to_their_step():
    pages = {
        "guide:advice": 1,
        "guide:question": 1,
        "knowledge:page": 4,
        "candidates:workbench": 4,
        "training:detail": 4,
        "candidates:chat": 5,
        "accounts:team": 0,
    }
    assert {page: step_of(page) for page in pages} == pages


# ---- The next action ----


def test_next_actions_of_the_instructions_method(goal, owner):
    goals.choose_measure(goal=goal, kind="exact", settings={})
    with_method(goal, "prompt")
    assert next_action(goal) == (2, "Write questions", "No test questions yet.")
    journey.freeze(goal, owner).delete()
    assert next_action(goal) == (2, "Check them", "60 questions, not frozen yet.")
    journey.freeze(goal, owner)
    assert next_action(goal) == (3, "Choose a model", "60 questions frozen as version 1.")
    BaseModelChoice.objects.create(goal=goal, base_model=journey.install(), chosen_by=owner)
    assert next_action(goal) == (4, "Write them", "Ready to write instructions for Tiny.")
    assert step_4(goal).fact == "What you tell it"
    save_instructions(goal)
    step, label, state = next_action(goal)
    assert (step, label) == (5, "Evaluate")
    assert state.startswith("Instructions saved ")
    assert rail(goal, "goals")[3].state == "done"


def test_next_actions_of_the_documents_method(goal, owner):
    with_method(journey.ready(goal, owner), "rag")
    assert next_action(goal) == (4, "Add documents", "No documents yet.")
    knowledge = add_documents(goal, index=0)
    assert next_action(goal) == (4, "See why", "Your documents cannot be searched yet.")
    knowledge.index, knowledge.indexed_at = 1, timezone.now()
    knowledge.save()
    assert next_action(goal) == (5, "Evaluate", "Your documents can be searched. Not tested yet.")
    assert step_4(goal).fact == "Can be searched"


def test_documents_then_training_needs_both(goal, owner):
    with_method(journey.ready(goal, owner), "rag_then_fine_tune")
    assert next_action(goal)[1] == "Add documents"
    add_documents(goal)
    assert next_action(goal)[1] == "Train"
    assert rail(goal, "goals")[3].state == "todo"
    journey.trained(goal, owner)
    assert next_action(goal)[1] == "Evaluate"
    assert rail(goal, "goals")[3].state == "done"


def test_new_instructions_after_a_verdict_are_to_be_evaluated(goal, owner):
    journey.evaluated(journey.trained(journey.ready(goal, owner), owner), owner)
    with_method(goal, "prompt")
    assert next_action(goal)[1] == "See the verdict"
    save_instructions(goal)
    assert next_action(goal)[1] == "Evaluate"


def test_a_version_without_training_examples_needs_some_for_training(goal, owner):
    with_method(journey.ready(goal, owner), "fine_tune")
    version = goal.dataset.versions.get()
    version.counts = {"train": 0, "validation": 18, "test": 42}
    version.save()
    assert next_action(goal) == (2, "Add examples", "Version 1 holds only questions to test with.")
    with_method(goal, "prompt")
    assert next_action(goal)[0] == 4


def test_the_home_page_names_step_4_after_the_method(as_viewer, goal, owner):
    with_method(journey.ready(goal, owner), "prompt")
    page = compact(as_viewer.get(reverse("guide:home")))
    assert "4 of 6 · Instructions" in page


# ---- The methods at the top of the pages of step 4 ----


def training_page(browser, goal) -> str:
    page = browser.get(reverse("training:page", args=[goal.pk])).content.decode()
    return compact(html.unescape(page))


def test_the_chosen_method_is_marked_and_the_others_have_a_reason(
    as_viewer,
    goal,
    advised,  # noqa: F811
):
    advised(**READY)
    page = training_page(as_viewer, goal)
    assert 'aria-current="page"><b>Training</b><span class="ours">' in page
    assert "Not needed so far: nothing you said has to be looked up." in page
    assert "Not alone: you tried instructions" in page
    assert "Use this method" not in page


def test_without_advice_no_method_is_deferred(as_viewer, goal):
    assert "Not yet" not in training_page(as_viewer, goal)


def test_an_editor_may_choose_another_method(as_editor, as_viewer, goal):
    with_method(goal, "prompt")
    assert "Use this method" in training_page(as_editor, goal)
    assert "Use this method" not in training_page(as_viewer, goal)
    as_editor.post(reverse("guide:take", args=[goal.pk]), {"method": "fine_tune"})
    goal.refresh_from_db()
    assert goal.method == "fine_tune"


# ---- Without training examples ----


@pytest.mark.parametrize("method", ["prompt", "rag"])
def test_every_step_works_without_training_examples(as_editor, goal, owner, method):
    goals.choose_measure(goal=goal, kind="exact", settings={})
    with_method(goal, method)
    version = journey.freeze(goal, owner)
    assert version.counts["train"] == 0
    for page in (
        "datasets:page",
        "basemodels:page",
        "training:page",
        "candidates:workbench",
        "knowledge:page",
        "evaluation:page",
        "deployment:page",
        "guide:advice",
    ):
        reply = as_editor.get(reverse(page, args=[goal.pk]), follow=True)
        assert reply.status_code == 200, page
    model = journey.install()
    page = as_editor.get(reverse("basemodels:page", args=[goal.pk])).content.decode()
    assert "Which model should answer?" in page
    assert "Time to train" not in page
    chosen = as_editor.post(
        reverse("basemodels:choose", args=[goal.pk]), {"base": model.slug}, follow=True
    )
    method_option = INSTRUCTIONS if method == "prompt" else DOCUMENTS
    assert chosen.redirect_chain[-1][0] == method_option.url(goal)
    for page in ("basemodels:page", "training:page", "candidates:workbench", "evaluation:page"):
        assert as_editor.get(reverse(page, args=[goal.pk]), follow=True).status_code == 200, page
    save_instructions(goal)
    reply = as_editor.post(reverse("evaluation:start", args=[goal.pk]))
    assert reply.status_code == 302
    (evaluation,) = goal.evaluations.all()
    assert evaluation.ours.kind == "prompt"
    assert evaluation.ours.training is None
