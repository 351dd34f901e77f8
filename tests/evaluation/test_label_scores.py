"""Accuracy, macro F1 and the confusion table are those of scikit-learn."""

import random

import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from finetune_app.evaluation.label_scores import LabelScores, Mixup
from tests.goals.measures.real_rows import OBJECTS, Pairs

INTENT = '"intent": "'


def own_labels() -> Pairs:
    dice = random.Random(3)
    labels = ["delivery"] * 5 + ["repair"] * 3 + ["return"] * 2
    wanted = dice.choices(labels, k=60)
    return [(one, one if dice.random() < 0.6 else dice.choice([*labels, "", ""])) for one in wanted]


def real_labels() -> Pairs:
    """The intents of 200 real requests; where the answer is no JSON, it names none of them."""
    return [
        tuple(text.partition(INTENT)[2].partition('"')[0] for text in (wanted, answer))
        for answer, wanted in OBJECTS["real"]()
    ]


SOURCES = {"own": own_labels, "real": real_labels}


@pytest.mark.parametrize("name", SOURCES)
def test_scores_are_those_of_scikit_learn(name):
    pairs = SOURCES[name]()
    wanted, given = zip(*pairs, strict=True)
    found = LabelScores(pairs)
    assert 0.2 < found.accuracy < 0.8
    assert found.accuracy == accuracy_score(wanted, given)
    macro = f1_score(wanted, given, labels=found.labels, average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(macro, abs=1e-12)
    of_each = f1_score(wanted, given, labels=found.labels, average=None, zero_division=0)
    assert [found.score(one).f1 for one in found.labels] == pytest.approx(list(of_each))


@pytest.mark.parametrize("name", SOURCES)
def test_the_confusion_table_is_that_of_scikit_learn(name):
    pairs = SOURCES[name]()
    wanted, given = zip(*pairs, strict=True)
    found = LabelScores(pairs)
    table = [[found.counts[one, other] for other in found.labels] for one in found.labels]
    assert table == confusion_matrix(wanted, given, labels=found.labels).tolist()
    others = sum(found.counts[one, None] for one in found.labels)
    assert others == sum(one not in found.labels for one in given) > 0


def test_the_commonest_mistakes_come_first():
    found = LabelScores(
        [("a", "b")] * 3 + [("b", "zzz")] * 2 + [("a", "a")] * 5 + [("b", "a")] * 2 + [("b", "b")]
    )
    assert found.mixups(3) == [Mixup("a", "b", 3), Mixup("b", "a", 2), Mixup("b", None, 2)]


def test_without_prompts_there_is_nothing_to_score():
    found = LabelScores([])
    assert (found.accuracy, found.macro_f1, found.labels) == (0.0, 0.0, [])
