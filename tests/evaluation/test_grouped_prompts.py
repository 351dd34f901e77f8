"""Prompts that belong together, such as those of one customer, count once in every verdict."""

import pytest

from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Split
from finetune_app.evaluation.method_table import method_table_context
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.votes import links, results
from finetune_app.evaluation.votes.voters import guest_voter
from finetune_app.goals import services as goals
from tests import journey
from tests.evaluation.conftest import different_answers
from tests.evaluation.votes.ballot_papers import choose
from tests.example_rows import conversation, pair

TESTED = 40
CUSTOMERS = 4


def rows(customers: int) -> list[dict]:
    """Examples to learn from, and test rows that come from so many customers; 0: from nobody."""
    learned = [{"messages": conversation(*pair(n)), "split": Split.TRAIN} for n in range(60)]
    tested = [
        {
            "messages": conversation(*pair(60 + n)),
            "split": Split.TEST,
            "group": f"customer {n % customers}" if customers else "",
        }
        for n in range(TESTED)
    ]
    return learned + tested


def evaluated(goal, owner, customers: int, **more) -> Evaluation:
    """The tuned model is right on all of them, the others on none."""
    dataset = datasets.dataset_of(goal)
    datasets.add_rows(dataset=dataset, by=owner, rows=rows(customers), source="emails.csv")
    training = journey.trained(journey.ready(goal, owner), owner)
    return journey.evaluated(training, owner, **more)


def test_forty_answers_to_four_customers_are_too_few_to_tell(goal, owner, as_viewer, url):
    evaluation = evaluated(goal, owner, CUSTOMERS)
    assert evaluation.verdict["level"] == "too_few_to_tell"
    assert evaluation.verdict["wins"] == TESTED
    page = " ".join(as_viewer.get(url("detail", evaluation.pk)).content.decode().split())
    assert "so each group counts once: of 4 groups, 4 better, 0 the same, 0 worse." in page


def test_forty_answers_to_forty_people_are_enough(goal, owner):
    evaluation = evaluated(goal, owner, 0)
    assert evaluation.verdict["level"] == "consistently_better"
    assert not any("belong together" in note for note in evaluation.verdict["notes"])


@pytest.mark.parametrize(("customers", "found"), [(0, "worth_it"), (CUSTOMERS, "too_close")])
def test_a_method_is_recommended_by_groups_too(goal, owner, customers, found):
    shots = [{"prompt": "Where is my order?", "answer": "topic: order"}]
    evaluation = evaluated(goal, owner, customers, instructions="Sort each email.", shots=shots)
    recommendation = method_table_context(evaluation)["recommendation"]
    assert recommendation.found == found
    belong = "the prompts belong to 4 groups, so that could be chance"
    assert (belong in recommendation.sentence) == bool(customers)


@pytest.mark.parametrize(("customers", "settled"), [(0, True), (CUSTOMERS, False)])
def test_what_people_prefer_is_settled_by_groups_too(goal, owner, customers, settled):
    goals.choose_measure(goal=goal, kind="choice", settings={})
    evaluation = evaluated(goal, owner, customers, say=different_answers)
    link, _secret = links.create_link(evaluation=evaluation, by=owner, days=14)
    lena = guest_voter(link=link, name="Lena")
    for index in range(TESTED):
        choose(lena, index, "ours")
    found = results.preference(evaluation)
    assert found.split.wins == TESTED
    assert found.settled == settled
