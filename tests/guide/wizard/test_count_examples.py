"""The wizard counts as examples what a training can learn from, never questions to test with."""

import html

import pytest

from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.goals import services as goals
from tests import journey
from tests.example_rows import conversation, pair
from tests.guide.wizard.conftest import READY

UNCOUNTED = {name: value for name, value in READY.items() if name != "pairs"}


@pytest.fixture
def add(goal, owner):
    """Add rows: how many of each split."""

    def add_rows_of(**counts: int) -> None:
        splits = [split for split, count in counts.items() for _ in range(count)]
        rows = [
            {"messages": conversation(*pair(n)), "split": split} for n, split in enumerate(splits)
        ]
        add_rows(dataset=dataset_of(goal), by=owner, rows=rows)

    return add_rows_of


def known(browser, url) -> str:
    """What the first question says is known already."""
    page = html.unescape(browser.get(url("question", question="improve")).content.decode())
    return page[page.index("Already known, so not asked") :]


def test_questions_of_a_prompt_are_no_examples(as_editor, goal, owner, url):
    goals.choose_method(goal=goal, method="prompt")
    version = journey.freeze(goal, owner)
    shown = known(as_editor, url)
    assert f"You have {version.counts['test']} test questions" in shown
    assert "examples" not in shown
    asked = as_editor.get(url("question", question="pairs")).content.decode()
    assert "How many good examples do you have?" in asked


def test_fine_tuning_is_not_advised_on_test_questions_alone(add, advised):
    add(test=60)
    advice = advised(**UNCOUNTED)
    assert (advice.recommendation, advice.known) == ("collect_pairs", {"test_questions": 60})


def test_beside_many_test_questions_only_examples_to_learn_from_count(
    as_editor, goal, add, advised, url
):
    add(train=12, validation=15, test=40)
    shown = known(as_editor, url)
    assert "You have 12 examples to learn from" in shown
    assert "You have 40 test questions" in shown
    advice = advised(**UNCOUNTED)
    assert (advice.recommendation, advice.known["pairs"]) == ("collect_pairs", 12)


def test_half_of_the_rows_to_learn_from_are_not_most_of_them(add, advised):
    add(train=30, validation=5, test=25)
    assert advised(**UNCOUNTED).known["pairs"] == 30


def test_what_a_training_holds_back_is_part_of_its_examples(as_editor, add, advised, url):
    """As everywhere else, where 50 examples are a pilot: some of them are kept back."""
    add(train=42, validation=7, test=11)
    shown = known(as_editor, url)
    assert "You have 60 examples" in shown
    assert "11 of them are kept back to test with" in shown
    advice = advised(**UNCOUNTED)
    assert (advice.recommendation, advice.known["pairs"]) == ("fine_tune", 60)
