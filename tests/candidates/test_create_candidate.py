"""Creating candidates: identical ones are reused, frozen ones never change."""

from pathlib import Path

import pytest
from django.db.models import QuerySet

from finetune_app.candidates import services
from finetune_app.candidates.models import Candidate
from finetune_app.jobs.models import Job
from finetune_app.knowledge.models import Knowledge
from tests import journey

SHOTS = [{"prompt": "Hello", "answer": "topic: other"}]


@pytest.fixture
def knowledge(goal):
    """Documents that can be searched."""
    found = Knowledge.objects.create(goal=goal, index=3, last_index=3, passages=40)
    journey.write(f"{found.index_folder}/index.json", "{}")
    return found


def all_candidates() -> QuerySet[Candidate]:
    return Candidate.objects.all()


def baseline(training, instructions="Sort it.", shots=SHOTS, **given):
    return services.prompt_candidate(
        goal=training.goal,
        base_model=training.base_model,
        instructions=instructions,
        shots=shots,
        **given,
    )


def in_both_formats(make, **given):
    """What `make` creates, as it is and in 8 bits."""
    return make(**given), make(**given, in_8_bits=True)


def test_an_identical_candidate_is_reused(trained):
    assert baseline(trained) == baseline(trained, "  Sort it.\n")
    assert services.tuned_candidate(training=trained) == services.tuned_candidate(training=trained)
    assert all_candidates().count() == 2


def test_an_edit_makes_a_new_revision(trained):
    first = baseline(trained)
    second = baseline(trained, "Sort it well.")
    third = baseline(trained, shots=[])
    assert [first.revision, second.revision, third.revision] == [1, 2, 3]
    assert baseline(trained) == first


def test_a_new_name_makes_no_new_candidate(trained):
    first = services.base_candidate(goal=trained.goal, base_model=trained.base_model)
    trained.base_model.name = "Tiny, renamed"
    trained.base_model.save()
    assert services.base_candidate(goal=trained.goal, base_model=trained.base_model) == first


def test_a_tuned_candidate_pins_its_adapter(trained, goal, owner):
    first = services.tuned_candidate(training=trained)
    other = services.tuned_candidate(training=journey.trained(goal, owner, weights="other"))
    assert first.adapter_sha256 == trained.adapter_sha256 != other.adapter_sha256
    assert other.revision == 2


def test_a_frozen_candidate_never_changes(trained):
    first = baseline(trained)
    services.freeze(all_candidates(), number_format="fp32")
    frozen = Candidate.objects.get(pk=first.pk)
    services.freeze(all_candidates(), number_format="bf16")
    again = Candidate.objects.get(pk=first.pk)
    assert (again.frozen_at, again.number_format) == (frozen.frozen_at, "fp32")
    assert baseline(trained) == first
    assert baseline(trained, "Different.") != first


def test_the_tested_number_format_is_in_the_spec(trained):
    one = baseline(trained)
    assert services.candidate_spec(one)["number_format"] == ""
    services.freeze(Candidate.objects.filter(pk=one.pk), number_format="bf16")
    one.refresh_from_db()
    assert services.candidate_spec(one)["number_format"] == "bf16"


def test_in_8_bits_it_is_pinned_from_the_start(trained, knowledge):
    of_base = {"goal": trained.goal, "base_model": trained.base_model}
    for make, given in (
        (services.base_candidate, of_base),
        (services.prompt_candidate, of_base | {"instructions": "Sort it.", "shots": []}),
        (services.rag_candidate, of_base),
        (services.tuned_candidate, {"training": trained}),
        (services.rag_candidate, {"goal": trained.goal, "training": trained}),
    ):
        plain, rounded = in_both_formats(make, **given)
        assert plain != rounded, make
        assert (plain.number_format, rounded.number_format) == ("", "int8")
        assert services.candidate_spec(rounded)["number_format"] == "int8"
        assert in_both_formats(make, **given) == (plain, rounded), "each is found again"


def test_what_was_tested_in_another_format_is_not_taken_for_it(trained):
    rounded = baseline(trained, in_8_bits=True)
    services.freeze(all_candidates(), number_format="int8")
    plain = baseline(trained)
    assert plain != rounded
    services.freeze(all_candidates(), number_format="bf16")
    assert baseline(trained) == plain
    assert baseline(trained, in_8_bits=True) == rounded


def test_a_kept_version_is_never_the_rounded_one(trained):
    tested = baseline(trained, in_8_bits=True)
    kept = services.save_version(
        goal=trained.goal,
        base_model=trained.base_model,
        endpoint=None,
        instructions=tested.instructions,
        shots=tested.shots,
        sampling={},
    )
    assert (kept.number_format, kept.saved) == ("", True)
    tested.refresh_from_db()
    assert not tested.saved


def test_what_qlora_trained_stays_in_4_bits(goal, owner):
    journey.ready(goal, owner)
    qlora = journey.qlora_trained(goal, owner)
    plain, rounded = in_both_formats(services.tuned_candidate, training=qlora)
    assert plain == rounded
    assert rounded.number_format == "nf4"


def test_a_remote_model_has_no_number_format(trained, team, owner, platform):
    distant = {"endpoint": platform.endpoint(team, owner), "instructions": "Sort it.", "shots": []}
    plain, rounded = in_both_formats(services.prompt_candidate, goal=trained.goal, **distant)
    assert plain == rounded
    assert rounded.number_format == ""


def test_in_8_bits_it_stays_so_with_other_documents(trained, knowledge):
    rounded = services.rag_candidate(goal=trained.goal, training=trained, in_8_bits=True)
    knowledge.index = 4
    knowledge.save()
    current = services.with_current_documents(Candidate.objects.get(pk=rounded.pk))
    assert (current.knowledge_index, current.number_format) == (4, "int8")


def test_the_spec_has_absolute_folders(trained, data_dir):
    asked = services.candidate_spec(services.tuned_candidate(training=trained))
    assert Path(asked["adapter"]) == data_dir / trained.adapter_folder
    assert services.candidate_spec(baseline(trained))["adapter"] is None


def test_creating_a_candidate_starts_no_job(trained):
    before = Job.objects.count()
    baseline(trained)
    assert Job.objects.count() == before
