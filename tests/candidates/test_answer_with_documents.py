"""A candidate with documents pins their index, and reports when it has changed."""

from pathlib import Path

import pytest

from finetune_app.candidates import services
from finetune_app.candidates.models import CandidateKind
from finetune_app.candidates.prompt_builder import Passage, PromptTemplate, build_prompt
from finetune_app.core.errors import PlainError
from finetune_app.knowledge.models import Knowledge
from finetune_app.knowledge.services import delete_indexes, fits_whole
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


def test_a_candidate_pins_the_current_index(trained, knowledge):
    made = rag(trained)
    assert (made.kind, made.knowledge_index, made.passages) == (CandidateKind.RAG, 3, 1)
    assert rag(trained) == made
    assert services.prompt_template(made).grounded


def test_with_a_training_the_adapter_is_pinned_too(trained, knowledge):
    made = services.rag_candidate(goal=trained.goal, training=trained)
    assert made.kind == CandidateKind.COMBINED
    assert (made.training, made.adapter_sha256) == (trained, trained.adapter_sha256)
    assert made.base_model == trained.base_model


def test_without_documents_no_candidate_is_created(trained):
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


def test_small_documents_go_into_the_prompt_as_a_whole(trained, knowledge):
    Knowledge.objects.update(characters=300)
    assert services.candidate_spec(rag(trained))["knowledge"]["whole"]
    long = rag(trained, instructions="Be brief. " * 10)  # the tiny model sees 512 tokens
    assert not services.candidate_spec(long)["knowledge"]["whole"]


@pytest.mark.parametrize("context", [512, 2048, 8192, 128_000])
def test_documents_that_fit_are_never_truncated(context):
    characters = max(n for n in range(100, 20_000, 50) if fits_whole(n, context))
    pieces = [
        Passage(1, "a.md", "A title of the usual length", 0, at, "x" * 150)
        for at in range(0, characters, 150)
    ]
    asked = [{"role": "user", "content": "How long is the warranty?"}]
    template = PromptTemplate(grounded=True, context_length=context)
    assert build_prompt(template, asked, pieces).passages == pieces


def test_changed_documents_are_reported_and_need_a_new_revision(trained, knowledge):
    old = rag(trained)
    Knowledge.objects.update(index=4, last_index=4)
    journey.write(f"{knowledge.folder}/index-4/index.json", "{}")
    delete_indexes(knowledge.folder, keep=[4])
    old = type(old).objects.get(pk=old.pk)
    with pytest.raises(PlainError, match="documents have changed"):
        services.candidate_spec(old)
    new = services.with_current_documents(old)
    assert new != old
    assert (new.revision, new.knowledge_index) == (2, 4)
    assert services.candidate_spec(new)["knowledge"]["index"].endswith("index-4")
    assert services.with_current_documents(new) == new


def test_an_index_missing_on_disk_is_not_used(trained, knowledge, data_dir):
    made = rag(trained)
    (data_dir / knowledge.index_folder / "index.json").unlink()
    with pytest.raises(PlainError, match="documents have changed"):
        services.candidate_spec(made)


def test_a_candidate_without_documents_is_always_current(trained):
    tuned = services.tuned_candidate(training=trained)
    assert services.with_current_documents(tuned) == tuned
    assert Path(services.candidate_spec(tuned)["adapter"]).name
