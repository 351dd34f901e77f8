"""Whether a model thinks before it answers is chosen with the model, and goes with everything."""

import pytest

from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate
from finetune_app.candidates.validation_prompts import candidate_fingerprint
from finetune_app.core.errors import PlainError
from finetune_app.evaluation.candidate_selection import (
    EvaluationInputs,
    create_candidates,
    default_prompt,
)
from finetune_app.evaluation.services import answer_columns
from finetune_app.training import services as trainings
from finetune_app.versions.models import Version
from tests.basemodels.conftest import laid
from tests.journey import install, ready, trained

QUESTION = "Does it think before it answers?"


@pytest.fixture
def thinker(db):
    return laid("thinker", parameters=2000, can_think=True)


def choose(client, url, thinking, base="thinker"):
    assert client.post(url("choose"), {"base": base, "thinking": thinking}).status_code == 302
    return BaseModelChoice.objects.get().thinking


def test_the_page_asks_only_for_a_model_that_can(as_owner, url, thinker):
    laid("tiny", parameters=1000)
    assert QUESTION in as_owner.get(url("page"), {"base": "thinker"}).content.decode()
    assert QUESTION not in as_owner.get(url("page"), {"base": "tiny"}).content.decode()


def test_the_choice_is_kept_and_shown(as_editor, url, thinker):
    assert choose(as_editor, url, "short") == "short"
    page = as_editor.get(url("page")).content.decode()
    chosen = page.split('value="short"')[1].split(">")[0]
    assert "checked" in chosen


@pytest.mark.parametrize("thinking", ["", "loud", "YES"])
def test_anything_else_is_no(as_editor, url, thinker, thinking):
    assert choose(as_editor, url, thinking) == "no"


def test_a_model_that_cannot_think_answers_at_once(as_editor, url):
    laid("tiny", parameters=1000)
    assert choose(as_editor, url, "yes", base="tiny") == "no"


def test_every_candidate_of_the_model_thinks_as_chosen(goal, thinker, as_editor, url):
    at_once = candidates.base_candidate(goal=goal, base_model=thinker)
    choose(as_editor, url, "short")
    base = candidates.base_candidate(goal=goal, base_model=thinker)
    prompt = candidates.prompt_candidate(
        goal=goal, instructions="Be brief.", shots=[], base_model=thinker
    )
    assert (at_once.thinking, base.thinking, prompt.thinking) == ("no", "short", "short")
    assert candidates.candidate_spec(base)["thinking"] == "short"
    assert candidates.sampling_of(base)["thought_tokens"] == 256
    assert candidate_fingerprint(base) != candidate_fingerprint(at_once)


def test_a_training_freezes_it_and_its_candidate_keeps_it(goal, owner):
    ready(goal, owner, install("starter"))
    BaseModelChoice.objects.update(thinking="yes")
    training = trainings.start(goal=goal, user=owner)
    assert training.spec["thinking"] == "yes"
    BaseModelChoice.objects.update(thinking="no")
    tuned = candidates.tuned_candidate(training=training)
    assert tuned.thinking == "yes"
    assert Candidate.objects.get(pk=tuned.pk).get_thinking_display() == "Yes"


def test_a_test_compares_with_a_base_model_that_thinks_alike(goal, owner):
    ready(goal, owner, install("starter"))
    BaseModelChoice.objects.update(thinking="short")
    training = trained(goal, owner)
    BaseModelChoice.objects.update(thinking="no")
    inputs = EvaluationInputs.for_goal(goal, training)
    prompt = default_prompt(inputs)
    made = create_candidates(inputs, prompt=prompt, keys={"prompt", "tuned"})
    assert {one.kind for one in made} == {"base", "prompt", "tuned"}
    assert {one.thinking for one in made} == {"short"}


def test_preferences_are_not_learned_with_thinking(goal, owner):
    ready(goal, owner, install("starter"))
    Version.objects.update(pairs=60)
    BaseModelChoice.objects.update(thinking="short")
    with pytest.raises(PlainError, match="Choose “No” for the thinking"):
        trainings.start(goal=goal, user=owner, method="dpo")


def test_an_evaluated_answer_keeps_its_thought_apart():
    event = {"row": 1, "text": "blue", "thought": "sea and sky"}
    columns = answer_columns(event)
    assert (columns["text"], columns["thought"]) == ("blue", "sea and sky")
