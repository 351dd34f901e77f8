"""Preference tuning: offered where there are enough pairs, and it goes on from what was learned."""

import pytest
from django.urls import reverse

from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Example, Split
from finetune_app.jobs.handlers import handler_for
from finetune_app.training import services, tunings
from finetune_app.training.methods import MIN_PAIRS
from finetune_app.training.models import Training
from finetune_app.training.presenters import live_context
from finetune_app.versions import services as versions
from tests import journey


def freeze_with_pairs(goal, by, count: int):
    """A version in which `count` rows to learn from have a worse answer."""
    rows = Example.objects.filter(dataset__goal=goal, split=Split.TRAIN)
    rows.filter(pk__in=rows.values("pk")[:count]).update(rejected="I do not know.")
    version, _new = versions.freeze(dataset=goal.dataset, by=by)
    assert version.pairs == count
    return version


@pytest.fixture
def with_pairs(ready, owner):
    freeze_with_pairs(ready, owner, MIN_PAIRS)
    return ready


def test_it_is_offered_where_there_are_enough_pairs(as_editor, with_pairs, url):
    page = as_editor.get(url("page") + "?new&method=dpo").content.decode()
    assert f"{MIN_PAIRS} pairs of answers" in page
    assert '<input type="hidden" name="method" value="dpo">' in page
    assert "How closely it stays to where it starts" in page


def test_it_says_how_many_pairs_are_missing(as_editor, ready, owner, url):
    page = as_editor.get(url("page") + "?new&method=dpo").content.decode()
    assert f"worse answer beside the better one: {MIN_PAIRS} at least" in page
    assert 'name="method" value="supervised"' in page
    freeze_with_pairs(ready, owner, 3)
    page = as_editor.get(url("page")).content.decode()
    assert "There are 3 rows with a worse answer" in page


def test_too_few_pairs_are_refused(as_editor, ready, url):
    reply = as_editor.post(url("start"), {"method": "dpo"})
    assert reply.status_code == 400
    assert "Not enough choices yet" in reply.content.decode()
    assert not Training.objects.exists()


def test_a_method_that_does_not_exist_is_refused(as_editor, ready, url):
    assert as_editor.post(url("start"), {"method": "magic"}).status_code == 400
    assert not Training.objects.exists()


def test_a_viewer_cannot_start_it(as_viewer, with_pairs, url):
    assert as_viewer.post(url("start"), {"method": "dpo"}).status_code == 403


def test_another_team_does_not_see_it(as_stranger, with_pairs, url):
    assert as_stranger.get(url("page") + "?new&method=dpo").status_code == 404
    assert as_stranger.post(url("start"), {"method": "dpo"}).status_code == 404


def test_the_first_one_starts_from_the_base_model(as_editor, with_pairs, url):
    as_editor.post(url("start"), {"method": "dpo", "beta": "0.2"})
    training = Training.objects.get()
    assert (training.method, training.starts_from, training.spec["beta"]) == ("dpo", None, 0.2)
    assert child_spec(training)["start_adapter"] is None


def test_it_goes_on_from_the_last_training(as_editor, with_pairs, owner, url):
    first = journey.trained(with_pairs, owner)
    page = as_editor.get(url("page") + "?new&method=dpo").content.decode()
    assert "as training 1 left it" in page
    as_editor.post(url("start"), {"method": "dpo"})
    second = Training.objects.get(number=2)
    assert second.starts_from == first
    for name in ("rank", "alpha", "targets"):
        assert second.spec[name] == first.spec[name]
    assert child_spec(second)["start_adapter"].endswith(first.adapter_folder)
    assert second.spec["learning_rate"] < first.spec["learning_rate"]


def test_a_qlora_adapter_goes_on_beside_the_weights_it_learned_on(
    as_editor, with_pairs, owner, url, monkeypatch
):
    monkeypatch.setattr(tunings, "find_spec", lambda name: object())
    journey.qlora_trained(with_pairs, owner)
    page = as_editor.get(url("page") + "?new&method=dpo").content.decode()
    assert "training 1, whose adapter belongs to other weights" in page
    assert 'value="lora"' not in page
    reply = as_editor.post(url("start"), {"method": "dpo", "tuning": "lora"})
    assert reply.status_code == 400
    as_editor.post(url("start"), {"method": "dpo"})
    assert Training.objects.get(number=2).spec["tuning"] == "qlora"


def test_a_lora_adapter_does_not_go_on_beside_rounded_weights(
    as_editor, with_pairs, owner, url, monkeypatch
):
    monkeypatch.setattr(tunings, "find_spec", lambda name: object())
    journey.trained(with_pairs, owner)
    reply = as_editor.post(url("start"), {"method": "dpo", "tuning": "qlora"})
    assert "belongs to other weights" in reply.content.decode()
    assert Training.objects.count() == 1


def test_an_ordinary_training_starts_from_the_base_model(as_editor, with_pairs, owner, url):
    journey.trained(with_pairs, owner)
    as_editor.post(url("start"), {"method": "supervised"})
    assert Training.objects.get(number=2).starts_from is None


def test_what_it_goes_on_from_cannot_be_deleted_meanwhile(with_pairs, owner):
    first = journey.trained(with_pairs, owner)
    second = services.start(goal=with_pairs, user=owner, method="dpo")
    with pytest.raises(PlainError, match="Training 2 goes on from this one"):
        services.delete(training=first)
    journey.end(second.job, adapter=None, stopped=True)
    services.delete(training=second)
    services.delete(training=first)


def test_it_does_not_begin_from_something_else(with_pairs, owner):
    first = journey.trained(with_pairs, owner)
    second = services.start(goal=with_pairs, user=owner, method="dpo")
    first.delete()  # as an operator might, past the service
    with pytest.raises(PlainError, match="Train again"):
        child_spec(Training.objects.get(pk=second.pk))


def test_its_page_speaks_of_choices(as_editor, with_pairs, owner):
    training = services.start(goal=with_pairs, user=owner, method="dpo")
    handler_for(training.job).record(
        training.job,
        {
            "event": "point",
            "step": 3,
            "epoch": 1.0,
            "loss": 0.6,
            "validation_loss": 0.5,
            "validation_score": 0.75,
            "memory_bytes": 1,
        },
    )
    page = as_editor.get(reverse("training:detail", args=[with_pairs.pk, training.number]))
    text = page.content.decode()
    assert f"the two answers of your {MIN_PAIRS} pairs" in text
    assert "How often it prefers your better answer" in text
    measured = live_context(training, None)["measurements"]
    assert [one.score for one in measured] == ["75 %"]


def child_spec(training: Training) -> dict:
    return handler_for(training.job).child_spec(training.job).spec
