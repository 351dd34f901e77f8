"""Rules on what has to be there before the chosen method can begin."""

from django.utils.translation import gettext_lazy as _

from finetune_app.datasets.enough_examples import MIN_EXAMPLES, PILOT_EXAMPLES
from finetune_app.guide.advice.rule_types import Collect, Rule
from finetune_app.guide.advice.rules import conditions as c
from finetune_app.guide.advice.rules.thresholds import MIN_TESTS

REQUIREMENTS = (
    Rule(
        "no_documents",
        lambda a: not c.count_of(a.documents),
        Collect("collect_documents", ("rag", "rag_then_fine_tune")),
        _("A search is right, but we know of nothing yet to search."),
        ("documents",),
        ("judgement",),
        "no documents",
    ),
    Rule(
        "far_too_few_pairs",
        lambda a: c.count_of(a.pairs) < MIN_EXAMPLES,
        Collect("collect_pairs", ("fine_tune",)),
        c.few_pairs_text,
        ("pairs",),
        ("openai-tuning", "google-tuning"),
        "fewer than 10 pairs",
    ),
    Rule(
        "too_few_pairs",
        lambda a: MIN_EXAMPLES <= c.count_of(a.pairs) < PILOT_EXAMPLES,
        Collect("collect_pairs", ("fine_tune",)),
        c.few_pairs_text,
        ("pairs",),
        ("openai-tuning", "google-tuning"),
        "10 to 49 pairs",
    ),
    Rule(
        "no_tests",
        lambda a: c.count_of(a.test_questions) < MIN_TESTS,
        Collect("collect_tests", ("rag", "fine_tune", "rag_then_fine_tune")),
        c.no_tests_text,
        ("test_questions",),
        ("openai-evals",),
        "fewer than 8 test questions",
    ),
)
