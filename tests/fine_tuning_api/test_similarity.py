"""Text similarity against the packages that others measure with."""

import pytest
from nltk.translate.gleu_score import sentence_gleu
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from finetune_app.fine_tuning_api.graders.similarity import METRICS

PAIRS = [
    ("The brake of my bike squeaks in the rain.", "The brake of my old bike squeaks in rain."),
    ("the the the", "the cat sat on the mat"),
    ("It is done, at 5.30 pm: come!", "It is done at 5.30 pm. Come and fetch it!"),
    ("one", "one two three four five six"),
    ("nothing", "alike"),
    ("", "something"),
    ("something", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "reference"), PAIRS)
@pytest.mark.parametrize("size", ["1", "2", "3", "4", "5"])
def test_rouge_is_that_of_rouge_score(text, reference, size):
    name = f"rouge{size}"
    score = RougeScorer([name]).score(reference, text)[name].fmeasure
    assert METRICS[f"rouge_{size}"](text, reference) == pytest.approx(score)


@pytest.mark.parametrize(("text", "reference"), PAIRS)
def test_gleu_is_that_of_nltk(text, reference):
    tokens, wanted = (Tokenizer13a()(one).split() for one in (text, reference))
    score = sentence_gleu([wanted], tokens) if wanted and tokens else 0.0
    assert METRICS["gleu"](text, reference) == pytest.approx(score)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_is_alike_to_nothing_at_all(metric):
    assert METRICS[metric]("", "something") == 0


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_reads_any_script(metric):
    text = "Привет мир как дела друзья мои"
    assert METRICS[metric](text, text) == pytest.approx(1)
