"""The test split is held out: nothing but the evaluation reads it."""

import json
import re
from pathlib import Path

import pytest
from django.conf import settings

from finetune_app.candidates.few_shot import DEFAULT_SHOTS
from finetune_app.core.files import local_path
from finetune_app.evaluation import held_out, prompt_baseline
from finetune_app.jobs.handlers import handler_for
from finetune_app.monitoring import drift
from tests.worker.engine.tiny_models import make_base
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job
from worker.drift.run import run as compare
from worker.training.loop import run

# The apps that import, split and freeze rows, and evaluation.
MAY_SELECT_TEST_ROWS = (
    "finetune_app/datasets/",
    "finetune_app/checks/",
    "finetune_app/versions/",
    "finetune_app/labelling/writing_ideas.py",
    "finetune_app/imports/",
    "finetune_app/evaluation/",
    "worker/evaluation/",
)
COUNTS = re.compile(  # the number only
    r"Count\([^()]*filter=Q\(split=Split\.TEST\)\)|counted\[Split\.TEST\]"
)
EXCLUDES_TEST_ROWS = {"finetune_app/candidates/few_shot.py"}
NAMES_THE_SPLIT = {"finetune_app/model_export/model_card.py"}  # in the metadata of its results
PASS_THE_PATH = ("finetune_app/training/jobs.py", "finetune_app/monitoring/jobs.py")
OPEN_OTHER_FILES = ("finetune_app/model_export/",)  # the `stored_name` of an export, not a version
MAY_OPEN = (*MAY_SELECT_TEST_ROWS, *PASS_THE_PATH, *OPEN_OTHER_FILES)


def poison(training) -> Path:
    """Replace the test rows of the version's file by unusable ones."""
    path = local_path(training.version.stored_name)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert any(row["split"] == "test" for row in rows)
    bad = [{"id": r["id"], "split": "test"} if r["split"] == "test" else r for r in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in bad))
    return path


@pytest.fixture
def poisoned(trained):
    """A training whose version file has unusable test rows."""
    path = local_path(trained.version.stored_name)
    before = path.read_text()
    poison(trained)
    yield trained
    path.write_text(before)


def prompt_of(training):
    return prompt_baseline.build_baseline_prompt(
        training.goal, training.version, training.base_model
    )


def test_the_baseline_prompt_is_built_from_training_rows_only(poisoned):
    fair = prompt_of(poisoned)
    assert len(fair.shots) == DEFAULT_SHOTS


def test_the_shots_have_different_answers(trained):
    answers = [shot["answer"] for shot in prompt_of(trained).shots]
    assert len(set(answers)) == len(answers)


def test_no_shot_is_a_test_prompt(trained):
    tests = {prompt.prompt for prompt in held_out.read_test_prompts(trained.version)}
    assert not tests & {shot["prompt"] for shot in prompt_of(trained).shots}


def test_training_and_its_sample_answers_read_no_test_row(poisoned, tmp_path):
    """A real training on a tiny model; any code that read a test row would raise."""
    order = handler_for(poisoned.job).child_spec(poisoned.job)
    spec = order.spec | {
        "base_model": str(make_base(tmp_path / "base", "llama")),
        "epochs": 1,
        "max_new_tokens": 4,
        "number_format": "fp32",
        "rank": 2,
        "alpha": 4,
    }
    channel = RecordingChannel()
    result = run(Job("training", tmp_path / "run", spec), channel)
    assert result["steps"] > 0
    assert channel.of("sample")


def test_drift_detection_reads_no_test_row(poisoned, tmp_path):
    """Its runner works on a version with unusable test rows."""
    rows = poisoned.version.counts
    spec = {
        "version": str(local_path(poisoned.version.stored_name)),
        "max_characters": 2000,
        "splits": [split.value for split in drift.COMPARED_SPLITS],
        "examples": drift.count_reference_prompts(poisoned.version),
        "live": [[n, f"Is bike {n} ready?"] for n in range(40)],
    }
    found = compare(Job("drift", tmp_path, spec), RecordingChannel())
    assert found["learned"] == rows["train"] + rows["validation"]


def test_reading_a_poisoned_row_raises(poisoned):
    """Evaluation, which does read them, raises on these rows."""
    with pytest.raises(KeyError):
        held_out.read_test_prompts(poisoned.version)


def sources():
    for folder in ("finetune_app", "worker"):
        for path in sorted((Path(settings.BASE_DIR) / folder).rglob("*.py")):
            yield path.relative_to(settings.BASE_DIR).as_posix(), path.read_text()


def test_no_other_module_selects_test_rows():
    asks = re.compile(r"Split\.TEST|[\"']test[\"']")
    found = {
        name
        for name, text in sources()
        for line in text.splitlines()
        if asks.search(COUNTS.sub("", line))
        and not name.startswith(MAY_SELECT_TEST_ROWS)
        and '"split":' not in line
        and name not in EXCLUDES_TEST_ROWS | NAMES_THE_SPLIT
        and "`rows` are" not in line
    }
    assert found == set()


def test_no_other_module_opens_a_version():
    opens = re.compile(r"version\.stored_name|\.stored_name\)")
    found = {name for name, text in sources() if opens.search(text)}
    assert {name for name in found if not name.startswith(MAY_OPEN)} == set()


def test_a_conversation_of_several_turns_is_shown_whole(trained):
    path = local_path(trained.version.stored_name)
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which bikes can I hire?"},
        {"role": "assistant", "content": "Two: Dawes or Giant."},
        {"role": "user", "content": "The second one."},
        {"role": "assistant", "content": "topic: hire"},
    ]
    path.write_text(json.dumps({"id": 1, "split": "test", "messages": talk}) + "\n")
    (prompt,) = held_out.read_test_prompts(trained.version)
    assert prompt.prompt == (
        "You: Which bikes can I hire?\n\nModel: Two: Dawes or Giant.\n\nYou: The second one."
    )
    assert prompt.wanted == "topic: hire"
