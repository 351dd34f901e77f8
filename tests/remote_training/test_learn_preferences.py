"""People's choices between two answers are learned on a platform, too."""

import json

import pytest
from django.urls import reverse

from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Split
from finetune_app.jobs.models import State
from finetune_app.remote_training import services
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.training.methods import MIN_PAIRS
from finetune_app.training.services import newest_version
from finetune_app.versions import services as versions
from tests.accounts.pages import text as text_of
from tests.remote_training.conftest import on_every_platform, step

WORSE = "I do not know."


@pytest.fixture
def with_pairs(frozen, owner):
    """Every second row has a worse answer, in each split."""
    for split in Split.values:
        rows = frozen.dataset.examples.filter(split=split)
        chosen = list(rows.values_list("pk", flat=True))[: max(4, MIN_PAIRS)]
        rows.filter(pk__in=chosen).update(rejected=WORSE)
    versions.freeze(dataset=frozen.dataset, by=owner)
    return frozen


@pytest.fixture
def page(with_pairs, account) -> str:
    return reverse("remote_training:launch", args=[with_pairs.pk, account.pk])


@on_every_platform
def test_pairs_are_sent_as_the_platform_wants_them(with_pairs, start, platform):
    training = step(start(method="dpo"))
    assert training.remote_id, training.job.message
    assert len(platform.posted) == 1
    by_split = {name.rpartition("-")[2]: content for name, content in platform.files.values()}
    lines = [json.loads(line) for line in by_split["train.jsonl"].splitlines()]
    assert len(lines) == training.version.pairs
    assert all(WORSE in json.dumps(line) for line in lines)
    platform.succeed()
    assert step(training).job.state == State.SUCCEEDED


@pytest.mark.parametrize(
    ("platform", "told"),
    [
        ("openai", ("method", {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 3}}})),
        ("fireworks", ("trainingConfig", None)),
        ("vertex", ("preferenceOptimizationSpec", None)),
        ("together", ("training_method", None)),
    ],
    indirect=["platform"],
)
def test_the_platform_is_told_that_they_are_pairs(with_pairs, start, platform, told):
    step(start(method="dpo"))
    [body] = platform.posted
    name, value = told
    assert body[name] == value if value else name in body
    if platform.kind == "together":
        assert body["training_method"]["method"] == "dpo"


def test_it_is_offered_where_there_are_pairs(as_editor, page, with_pairs, account):
    shown = text_of(as_editor.get(page, {"method": "dpo"}))
    version = newest_version(with_pairs)
    assert f"{version.pairs} pairs of a better and a worse answer" in shown
    agreement = services.quote(account, version, 3, "dpo").agreement
    form = {"model": "gpt-4.1-mini", "epochs": 3, "method": "dpo", "consent": "on"}
    as_editor.post(page, form | {"agreed": agreement})
    training = RemoteTraining.objects.get()
    assert training.spec["method"] == "dpo"
    detail = reverse("remote_training:detail", args=[with_pairs.pk, training.number])
    assert f"{version.pairs} pairs of answers" in text_of(as_editor.get(detail))


def test_it_says_how_many_are_missing(as_editor, frozen, account):
    page = reverse("remote_training:launch", args=[frozen.pk, account.pk])
    assert "It needs rows with a worse answer" in text_of(as_editor.get(page))
    assert "examples of version 1" in text_of(as_editor.get(page, {"method": "dpo"}))


def test_without_pairs_nothing_starts(start):
    with pytest.raises(PlainError, match="It needs rows with a worse answer"):
        start(method="dpo")


def test_a_way_that_does_not_exist_is_refused(as_editor, page, with_pairs, account):
    assert as_editor.get(page, {"method": "magic"}).status_code == 200
    agreement = services.quote(account, newest_version(with_pairs), 3, "magic").agreement
    form = {"model": "m", "epochs": 3, "method": "magic", "consent": "on", "agreed": agreement}
    as_editor.post(page, form)
    assert not RemoteTraining.objects.exists()


def test_what_was_agreed_for_answers_is_not_agreed_for_pairs(as_editor, page, with_pairs, account):
    agreement = services.quote(account, newest_version(with_pairs), 3).agreement
    form = {"model": "m", "epochs": 3, "method": "dpo", "consent": "on", "agreed": agreement}
    assert "Read it again" in as_editor.post(page, form).text
