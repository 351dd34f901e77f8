"""Rules that change nothing: what to keep in mind."""

from django.utils.translation import gettext_lazy as _

from finetune_app.datasets.enough_examples import ENOUGH_TESTS, PILOT_EXAMPLES, STEADY_EXAMPLES
from finetune_app.guide.advice.rule_types import Note, Rule
from finetune_app.guide.advice.rules import conditions as c
from finetune_app.guide.advice.rules.thresholds import (
    FEW_DOCUMENTS,
    MIN_TESTS,
)

NOTES = (
    Rule(
        "pilot",
        lambda a: PILOT_EXAMPLES <= c.count_of(a.pairs) < STEADY_EXAMPLES,
        Note(("fine_tune", "rag_then_fine_tune")),
        c.pilot_text,
        ("pairs",),
        ("openai-tuning", "google-tuning"),
        "50 to 99 pairs",
    ),
    Rule(
        "few_tests",
        lambda a: MIN_TESTS <= c.count_of(a.test_questions) < ENOUGH_TESTS,
        Note(("rag", "fine_tune", "rag_then_fine_tune")),
        c.few_tests_text,
        ("test_questions",),
        ("openai-evals",),
        "8 to 19 test questions",
    ),
    Rule(
        "short_enough_to_paste",
        lambda a: 0 < c.count_of(a.documents) <= FEW_DOCUMENTS,
        Note(("rag", "rag_then_fine_tune")),
        _(
            "If your documents are only a few pages, paste them into the instructions first. A "
            "search pays when they do not fit there."
        ),
        ("documents",),
        ("anthropic-retrieval",),
        "at most 3 documents",
    ),
    Rule(
        "new_skill",
        lambda a: a.improve == "skill",
        Note(("fine_tune", "rag_then_fine_tune")),
        _(
            "A skill that is new to the model is the hardest thing to teach. The light kind of "
            "training used here may fall short of it, but it also forgets less. If it is about "
            "sums or look-ups, a tool does it better."
        ),
        ("improve",),
        ("biderman", "google-tuning"),
        "a new skill",
    ),
    Rule(
        "form_can_be_forced",
        lambda a: a.improve == "format",
        Note(("prompt", "fine_tune", "rag_then_fine_tune")),
        _(
            "If all you need is JSON that can always be read, ask for structured output first: it "
            "forces the form. Training teaches what belongs in it."
        ),
        ("improve",),
        ("openai-structured", "anthropic-consistency"),
        "a format",
    ),
    Rule(
        "train_again",
        lambda a: a.facts_change == "monthly",
        Note(("fine_tune",)),
        _(
            "Whatever in your answers changes every month would have to be trained again every "
            "month. Keep such facts in the question."
        ),
        ("facts_change",),
        ("judgement",),
        "facts change monthly",
    ),
    Rule(
        "who_may_read",
        lambda a: a.private_data is True,
        Note(("rag", "rag_then_fine_tune")),
        _(
            "Whoever may ask can be shown what the documents say. Let only those ask who may read "
            "them."
        ),
        ("private_data",),
        ("judgement",),
        "private data",
    ),
)
