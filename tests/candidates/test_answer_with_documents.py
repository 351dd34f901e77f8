"""A candidate with documents pins their index, and reports when it has changed."""

from pathlib import Path

import pytest

from finetune_app.candidates import services
from finetune_app.candidates.models import CandidateKind
from finetune_app.candidates.prompt_builder import Passage, PromptTemplate, build_prompt
from finetune_app.core.errors import PlainError
from finetune_app.knowledge.models import Knowledge
from finetune_app.knowledge.services import fits_whole
from tests import journey


@pytest.fixture
def knowledge(trained) -> Knowledge:
    found = Knowledge.objects.create(
        goal=trained.goal, index=3, last_index=3, passages=40, characters=30_000
    )
    journey.write(f"{found.index_folder}/index.json", "{}")
    return found


def rag(training, **more):
    return services.rag_candidate(goal=training.goal, base_model=training.base_model, **more)


def test_it_pins_the_index_in_use(trained, knowledge):
    made = rag(trained)
    assert (made.kind, made.knowledge_index, made.passages) == (CandidateKind.RAG, 3, 1)
    assert rag(trained) == made
    assert services.prompt_template(made).grounded


def test_with_a_training_both_are_pinned(trained, knowledge):
    made = services.rag_candidate(goal=trained.goal, training=trained)
    assert made.kind == CandidateKind.COMBINED
    assert (made.training, made.adapter_sha256) == (trained, trained.adapter_sha256)
    assert made.base_model == trained.base_model


def test_without_documents_there_is_none(trained):
    with pytest.raises(PlainError, match="no documents"):
        rag(trained)


def test_the_worker_gets_the_folder_of_the_index(trained, knowledge, data_dir):
    asked = services.candidate_spec(rag(trained))["knowledge"]
    assert asked == {
        "index": str(data_dir / knowledge.index_folder),
        "count": 1,
        "whole": False,
    }
    plain = services.base_candidate(goal=trained.goal, base_model=trained.base_model)
    assert services.candidate_spec(plain)["knowledge"] is None


def test_a_few_pages_go_into_the_prompt_whole(trained, knowledge):
    Knowledge.objects.update(characters=300)
    assert services.candidate_spec(rag(trained))["knowledge"]["whole"]
    long = rag(trained, instructions="Be brief. " * 10)  # the tiny model sees 512 tokens
    assert not services.candidate_spec(long)["knowledge"]["whole"]


@pytest.mark.parametrize("context", [512, 2048, 8192, 128_000])
def test_documents_that_fit_whole_are_never_cut(trained, knowledge, context):
    knowledge.characters = max(n for n in range(100, 20_000, 50) if _fits(knowledge, n, context))
    pieces = [
        Passage(1, "a.md", "A title of the usual length", 0, at, "x" * 150)
        for at in range(0, knowledge.characters, 150)
    ]
    asked = [{"role": "user", "content": "How long is the warranty?"}]
    recipe = PromptTemplate(grounded=True, context_length=context)
    assert build_prompt(recipe, asked, pieces).passages == pieces


def _fits(knowledge: Knowledge, characters: int, context: int) -> bool:
    knowledge.characters = characters
    return fits_whole(knowledge, context)


def test_when_the_documents_change_the_old_one_says_what_to_do(trained, knowledge):
    old = rag(trained)
    Knowledge.objects.update(index=4, last_index=4)
    journey.write(f"{knowledge.folder}/index-4/index.json", "{}")
    old = type(old).objects.get(pk=old.pk)
    with pytest.raises(PlainError, match="documents have changed"):
        services.candidate_spec(old)
    new = services.with_current_documents(old)
    assert new != old
    assert (new.revision, new.knowledge_index) == (2, 4)
    assert services.candidate_spec(new)["knowledge"]["index"].endswith("index-4")
    assert services.with_current_documents(new) == new


def test_an_index_that_is_not_on_the_disk_is_not_used(trained, knowledge, data_dir):
    made = rag(trained)
    (data_dir / knowledge.index_folder / "index.json").unlink()
    with pytest.raises(PlainError, match="documents have changed"):
        services.candidate_spec(made)


def test_a_candidate_without_documents_is_always_current(trained):
    tuned = services.tuned_candidate(training=trained)
    assert services.with_current_documents(tuned) == tuned
    assert Path(services.candidate_spec(tuned)["adapter"]).name
