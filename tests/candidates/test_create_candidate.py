"""Creating candidates: identical ones are reused, frozen ones never change."""

from pathlib import Path

from django.db.models import QuerySet

from finetune_app.candidates import services
from finetune_app.candidates.models import Candidate
from finetune_app.jobs.models import Job
from tests import journey

SHOTS = [{"prompt": "Hello", "answer": "topic: other"}]


def all_candidates() -> QuerySet[Candidate]:
    return Candidate.objects.all()


def baseline(training, instructions="Sort it.", shots=SHOTS):
    return services.prompt_candidate(
        goal=training.goal, base_model=training.base_model, instructions=instructions, shots=shots
    )


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


def test_the_spec_has_absolute_folders(trained, data_dir):
    asked = services.candidate_spec(services.tuned_candidate(training=trained))
    assert Path(asked["adapter"]) == data_dir / trained.adapter_folder
    assert services.candidate_spec(baseline(trained))["adapter"] is None


def test_creating_a_candidate_starts_no_job(trained):
    before = Job.objects.count()
    baseline(trained)
    assert Job.objects.count() == before
