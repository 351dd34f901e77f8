"""Our numbers are those of sacrebleu, rouge-score and scikit-learn, on our rows and real ones."""

import json

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import CHRF
from sklearn.metrics import f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from finetune_app.goals.measures import get_measure
from finetune_app.goals.measures.chrf import chrf
from finetune_app.goals.measures.field_scores import FieldScore, score_fields, scores_by_name
from finetune_app.goals.measures.rouge_l import rouge_l
from tests.goals.measures.real_rows import OBJECTS, SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_close_wording_is_chrf_of_sacrebleu(name):
    reference = CHRF()
    for answer, wanted in SOURCES[name]():
        expected = reference.sentence_score(answer, [wanted]).score / 100
        # Ours keeps 1 for equal texts; by sacrebleu the same letters in another order reach it.
        most = 1.0 if answer.split() == wanted.split() else 0.9999
        assert chrf(answer, wanted) == pytest.approx(min(expected, most), abs=1e-9), answer


@pytest.mark.parametrize("name", SOURCES)
def test_the_same_words_in_order_is_rouge_l_of_rouge_score(name):
    reference = RougeScorer(["rougeL"], use_stemmer=False)
    for answer, wanted in SOURCES[name]():
        expected = reference.score(wanted, answer)["rougeL"].fmeasure
        assert rouge_l(answer, wanted) == pytest.approx(expected, abs=1e-9), answer


@pytest.mark.parametrize("name", OBJECTS)
def test_fields_of_json_are_scored_as_by_scikit_learn(name):
    """There a field with its value is one label of many, and a prompt is a sample."""
    rows = OBJECTS[name]()
    measure = get_measure("json", {"partial": True})
    pairs = [measure.fields(answer, wanted) for answer, wanted in rows]
    both = [["|".join(field) for field in side] for pair in pairs for side in pair]
    table = MultiLabelBinarizer().fit_transform(both)
    got, wanted = table[::2], table[1::2]
    total = sum(scores_by_name(pairs).values(), FieldScore())
    assert 0.3 < total.f1 < 0.9
    assert total.f1 == pytest.approx(f1_score(wanted, got, average="micro"), abs=1e-12)
    of_each = f1_score(wanted, got, average="samples", zero_division=0)
    mean = sum(score_fields(pair).f1 for pair in pairs) / len(pairs)
    assert mean == pytest.approx(of_each, abs=1e-12)


@pytest.mark.parametrize("name", OBJECTS)
def test_each_field_is_scored_as_by_scikit_learn(name):
    measure = get_measure("json", {"partial": True})
    rows = OBJECTS[name]()
    pairs = [measure.fields(answer, wanted) for answer, wanted in rows]
    first = next(iter(json.loads(rows[0][1])))  # a field that each wanted answer has
    both = [[field.value for field in side if field.name == first] for p in pairs for side in p]
    ours = scores_by_name(pairs)[first]
    table = MultiLabelBinarizer().fit_transform(both)
    expected = f1_score(table[1::2], table[::2], average="micro")
    assert ours.f1 == pytest.approx(expected, abs=1e-12)
