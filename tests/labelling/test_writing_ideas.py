"""Writing more examples from ideas."""

import pytest

from finetune_app.datasets.services import dataset_of
from finetune_app.labelling import writing_ideas
from tests.labelling.helpers import add_answered_rows


@pytest.fixture
def goal(goal):
    goal.pairs = [
        {"prompt": "My card was swallowed", "answer": "card_swallowed"},
        {"prompt": "Where is my PIN?", "answer": "get_pin"},
    ]
    goal.save()
    return goal


def test_an_idea_shows_a_pair_and_a_variation(as_owner, url, dataset):
    page = as_owner.get(url("ideas")).content.decode()
    assert "My card was swallowed" in page
    assert "The same request, about something else" in page
    assert "0 of 50" in page
    page = as_owner.get(url("ideas") + "?idea=1").content.decode()
    assert "Where is my PIN?" in page
    assert "Much shorter: five words" in page


def test_a_written_example_is_added_and_the_next_idea_shown(as_owner, url, dataset):
    form = {"idea": "0", "prompt": "It ate my card!", "answer": "card_swallowed"}
    reply = as_owner.post(url("ideas"), form)
    assert reply.url == url("ideas") + "?idea=1"
    one = dataset.examples.get()
    assert (one.prompt, one.status) == ("It ate my card!", "approved")
    assert "The same request" in one.source
    page = as_owner.get(reply.url).content.decode()
    assert "1 of 50" in page
    assert "Added No. 1." in page


def test_every_pair_gets_every_variation(goal):
    dataset = dataset_of(goal)
    count = len(writing_ideas.VARIATIONS)
    seen = {
        (one.pair.prompt, one.variation.key)
        for at in range(2 * count)
        if (one := writing_ideas.idea_at(dataset, at))
    }
    assert len(seen) == 2 * count


def test_the_target_rises_after_it_is_reached(as_owner, owner, url, dataset):
    add_answered_rows(dataset, owner, ["card_swallowed", "get_pin"] * 25)
    page = as_owner.get(url("ideas")).content.decode()
    assert "50 of 100" in page
    assert "results get steady" in page


def test_without_pairs_ideas_use_training_examples(as_owner, owner, url, dataset, goal):
    goal.pairs = []
    goal.save()
    assert "Write the first one" in as_owner.get(url("ideas")).content.decode()
    add_answered_rows(dataset, owner, ["bell"] * 12)
    prompts = {pair.prompt for pair in writing_ideas.source_pairs(dataset)}
    tests = set(dataset.examples.filter(split="test").values_list("prompt", flat=True))
    assert prompts
    assert not prompts & tests


def test_without_training_the_target_is_28(as_owner, url, dataset, goal):
    goal.method = "prompt"
    goal.save()
    assert "0 of 28" in as_owner.get(url("ideas")).content.decode()


def test_an_empty_prompt_keeps_the_answer(as_owner, url, dataset):
    reply = as_owner.post(url("ideas"), {"idea": "3", "prompt": " ", "answer": "get_pin"})
    assert reply.status_code == 422
    assert "get_pin" in reply.content.decode()
    assert not dataset.examples.exists()


def test_an_empty_dataset_links_to_the_ideas(as_owner, url, dataset_url, dataset):
    assert url("ideas") in as_owner.get(dataset_url("page")).content.decode()
    assert url("ideas") in as_owner.get(dataset_url("write")).content.decode()


def test_only_editors_write(as_viewer, as_stranger, as_owner, url, dataset):
    assert as_viewer.get(url("ideas")).status_code == 403
    assert as_stranger.get(url("ideas")).status_code == 404
    assert as_owner.put(url("ideas")).status_code == 405
