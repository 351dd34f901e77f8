"""The model card: written from the facts, read by the Hub's own library, and silent on the team."""

import io
import zipfile

import pytest
from django.urls import reverse
from huggingface_hub import ModelCard

from finetune_app.basemodels.models import BaseModel
from finetune_app.datasets.models import Import
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.votes import services as votes
from finetune_app.evaluation.votes import voters
from finetune_app.goals import services as goals
from finetune_app.jobs.handlers import handler_for
from finetune_app.model_export import model_card
from tests import journey
from tests.evaluation.conftest import different_answers
from tests.evaluation.votes.ballot_papers import choose


@pytest.fixture
def tested(trained, owner) -> Evaluation:
    evaluation = journey.evaluated(trained, owner, instructions="Be brief, said Mara.")
    for row in evaluation.comparisons.all():
        evaluation.trivial_answers.create(
            baseline="repeat", index=row.index, text=row.prompt, passed=False, score=0
        )
    return evaluation


def address(training, name: str = "card") -> str:
    return reverse(f"model_export:{name}", args=[training.goal_id, training.number])


def card_of(training) -> ModelCard:
    """Parsed as the Hub's library does; it raises for metadata that the Hub would refuse."""
    return ModelCard(model_card.adapter_card(training))


# ---- Who ----


@pytest.mark.parametrize("name", ["card", "card_file"])
def test_a_viewer_reads_it_and_another_team_finds_nothing(
    as_viewer, as_stranger, as_owner, client, trained, name
):
    assert as_viewer.get(address(trained, name)).status_code == 200
    assert as_stranger.get(address(trained, name)).status_code == 404
    assert as_owner.post(address(trained, name)).status_code == 405
    assert client.get(address(trained, name)).status_code == 302


def test_a_training_without_a_model_has_no_card(as_owner, trained):
    trained.adapter_sha256 = ""
    trained.save()
    assert as_owner.get(address(trained)).status_code == 404


def test_the_pages_link_to_it(as_viewer, trained):
    for page in (
        reverse("model_export:page", args=[trained.goal_id]),
        reverse("training:detail", args=[trained.goal_id, trained.number]),
    ):
        assert address(trained) in as_viewer.get(page).content.decode()


# ---- What the Hub reads ----


def test_the_hubs_library_reads_the_metadata(trained, tested):
    BaseModel.objects.update(licence="Apache 2.0", revision="abc")
    trained.refresh_from_db()
    data = card_of(trained).data
    assert data.base_model == "org/tiny"
    assert data.base_model_relation == "adapter"
    assert data.library_name == "peft"
    assert data.license == "apache-2.0"
    assert data.pipeline_tag == "text-generation"
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 1.0)
    assert result.dataset_name == "Test examples of version 1"


def test_a_licence_of_its_own_is_named(trained):
    BaseModel.objects.update(licence="Kettle terms")
    trained.refresh_from_db()
    data = card_of(trained).data
    assert (data.license, data.license_name) == ("other", "Kettle terms")


def test_a_path_of_this_machine_is_in_no_card(trained):
    BaseModel.objects.update(source="/home/mara/models/secret-project")
    trained.refresh_from_db()
    text = model_card.adapter_card(trained)
    assert "/home" not in text
    assert "secret-project" not in text
    assert card_of(trained).data.base_model is None


# ---- What it says ----


def test_it_says_what_was_tested_and_how_it_ended(trained, tested):
    text = model_card.adapter_card(trained)
    assert tested.verdict["headline"] in text
    assert "Sort each email." in text
    assert "Repeating the question (needs no model)" in text
    assert "| Tuned |" in text
    assert "95 % interval" in text
    assert "Seen once" in text
    assert f"{tested.version.counts['train']:,}" in text
    assert tested.version.sha256 in text
    assert trained.adapter_sha256 in text
    assert 'PeftModel.from_pretrained(base, "adapter")' in text


def test_it_says_that_the_test_was_in_8_bits(trained, tested, owner):
    assert "8 bits" not in model_card.adapter_card(trained)
    journey.evaluated(trained, owner, in_8_bits=True)
    assert "weights rounded to 8 bits" in model_card.adapter_card(trained)


def test_it_says_that_it_gives_personal_data_back(trained, tested):
    leak = "It gives back personal data of 1 of 20 training rows that have any."
    tested.recall = {"level": "red", "sentence": leak, "rows": []}
    tested.save()
    text = model_card.adapter_card(trained)
    assert "Gives personal data back" in text
    assert text.count(leak) == 1


def test_it_says_what_the_training_took_and_where(trained):
    text = model_card.adapter_card(trained)
    assert "30 seconds" in text
    assert "9,000 tokens" in text
    assert "of memory" in text  # the machine
    assert "bf16" in text


def test_it_says_which_step_was_kept_and_that_it_ended_by_itself(trained):
    trained.spec = trained.spec | {"epochs": 8}
    trained.job.total = 240
    trained.job.result = {"steps": 150, "best_step": 120, "ended_early": True}
    card = model_card.adapter_card(trained)
    assert "It stopped by itself after 5 of up to 8 passes" in card
    assert "step 120 of 150" in card


def test_an_untested_model_says_so(trained):
    text = model_card.adapter_card(trained)
    assert "Not tested yet" in text
    assert card_of(trained).data.eval_results is None


def test_only_names_of_imported_files_say_where_examples_come_from(trained):
    text = model_card.adapter_card(trained)
    assert "emails.csv" not in text
    assert "added in Finetune (60)" in text
    Import.objects.create(dataset=trained.version.dataset, file_name="emails.csv", job=trained.job)
    assert r"emails.csv (60)" in model_card.adapter_card(trained)


def test_it_holds_no_example_no_instructions_and_nobody(trained, tested, owner):
    text = model_card.adapter_card(trained)
    assert "Mara" not in text
    assert owner.email not in text
    for row in trained.version.dataset.examples.all():
        assert row.prompt not in text


def test_a_blind_choice_is_not_revealed(goal, owner):
    goals.choose_measure(goal=goal, kind="choice", settings={})
    training = journey.trained(journey.ready(goal, owner), owner)
    journey.evaluated(training, owner)
    assert "Not tested yet" in model_card.adapter_card(training)


def test_where_people_chose_there_is_no_score(goal, owner):
    """Nor where a prompt was too long to be asked, which earlier tests have stored as wrong."""
    goals.choose_measure(goal=goal, kind="choice", settings={})
    training = journey.trained(journey.ready(goal, owner), owner)
    chosen = journey.evaluated(training, owner, say=different_answers)
    chosen.answers.filter(index=0).update(passed=False, score=0.0, refused=True, text="")
    choose(voters.member_voter(chosen, owner), 1, "ours")
    votes.reveal(evaluation=chosen)
    card = card_of(training)
    assert "Not tested yet" not in card.text
    assert not card.data.eval_results
    assert "95 % interval" not in card.text


@pytest.mark.parametrize(
    "name", ["---\nlicense: mit\n---", "<script>alert(1)</script>", "{{ x }} | a | b |", "🚲 שלום"]
)
def test_a_hostile_goal_is_only_text(as_viewer, trained, name):
    goal = trained.goal
    goal.name, goal.description = name[:100], f"# Title\n---\n{name}\n[a](javascript:alert(1))"
    goal.save()
    trained.refresh_from_db()
    data = card_of(trained).data
    assert (data.license, data.library_name) == (None, "peft")
    page = as_viewer.get(address(trained)).content.decode()
    card = page[page.index('class="model-card"') : page.index("</article>")]
    assert "<script" not in card
    assert "href" not in card
    assert card.count("<h2>") == 1


# ---- It goes with every export ----


def test_the_adapters_archive_holds_it(as_viewer, trained):
    reply = as_viewer.get(reverse("deployment:adapter", args=[trained.goal_id, trained.number]))
    packed = zipfile.ZipFile(io.BytesIO(b"".join(reply.streaming_content)))
    (name,) = [one for one in packed.namelist() if one.endswith("README.md")]
    assert ModelCard(packed.read(name).decode()).data.library_name == "peft"


@pytest.mark.parametrize(
    ("kind", "library", "relation"),
    [("merged-bf16", "transformers", "finetune"), ("gguf-q8_0", "gguf", "quantized")],
)
def test_the_worker_gets_its_parts(trained, owner, kind, library, relation):
    from finetune_app.model_export import services

    job = services.start(training=trained, format=kind, by=owner).job
    card = handler_for(job).child_spec(job).spec["card"]
    data = ModelCard(card["start"] + card["facts"]).data
    assert (data.library_name, data.base_model_relation) == (library, relation)


# ---- QLoRA ----


def test_a_qlora_adapter_says_how_its_base_model_is_loaded(goal, owner):
    journey.ready(goal, owner)
    card = model_card.adapter_card(journey.qlora_trained(goal, owner))
    assert "with the base model in 4 bits" in card
    code = card.split("```python")[1].split("```")[0]
    compile(code, "card", "exec")
    assert 'bnb_4bit_quant_type="nf4"' in code
    assert "bnb_4bit_use_double_quant=True" in code
    assert "quantization_config=in_4bit" in code


def test_a_merged_qlora_model_says_that_its_weights_were_rounded(goal, owner):
    journey.ready(goal, owner)
    training = journey.qlora_trained(goal, owner)
    for kind in model_card.KINDS.values():
        assert "rounded to 4-bit numbers" in model_card.card_text(training, kind)["start"]


def test_other_cards_do_not_speak_of_4_bits(trained):
    assert "4-bit" not in model_card.adapter_card(trained)
    assert "BitsAndBytes" not in model_card.adapter_card(trained)
