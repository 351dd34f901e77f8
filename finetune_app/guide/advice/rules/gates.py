"""Rules that decide at once, in this order."""

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from finetune_app.datasets.enough_examples import ENOUGH_TESTS
from finetune_app.guide.advice.rule_types import Gate, Rule
from finetune_app.guide.advice.rules import conditions as c
from finetune_app.guide.advice.rules.thresholds import FEW_DOCUMENTS, MIN_TESTS

GATES = (
    Rule(
        "works_already",
        lambda a: a.tried_prompt == "good_enough" and not a.heavy_use,
        Gate("good_enough"),
        _(
            "What you have does the job, and nothing you said makes it too expensive. "
            "Building more would cost effort without gain."
        ),
        ("tried_prompt", "heavy_use"),
        ("openai-accuracy", "anthropic-prompting"),
        "a prompt is good enough, and use is not heavy",
    ),
    Rule(
        "nothing_to_read",
        lambda a: c.lacks_facts(a) and not c.count_of(a.documents),
        Gate("collect_documents"),
        _(
            "What it lacks is knowledge, and we know of nothing yet that it could read. Facts do "
            "not come from instructions, nor from training."
        ),
        lambda a: (*c.answers_on_missing_facts(a), "documents"),
        ("judgement",),
        "facts are lacking, and there are no documents",
    ),
    Rule(
        "few_pages",
        lambda a: (
            a.improve == "facts"
            and c.no_prompt_tried(a)
            and 0 < c.count_of(a.documents) <= FEW_DOCUMENTS
        ),
        Gate("prompt"),
        _(
            "A few pages fit into the instructions. Paste them in and ask: that may be all it "
            "takes, and no search has to be built."
        ),
        ("improve", "documents"),
        ("anthropic-retrieval",),
        "facts are lacking, no prompt was tried, and at most 3 documents hold them",
    ),
    Rule(
        "name_the_fault",
        lambda a: (
            c.fault_unknown(a)
            and a.tried_prompt == "inconsistent"
            and c.count_of(a.test_questions) < MIN_TESTS
            and not c.needs_retrieval(a)
        ),
        Gate("collect_tests"),
        format_lazy(
            _(
                "It is right one day and wrong the next, and it is not clear where. About {n} "
                "questions whose answers you know will show what is wrong; whatever you build will "
                "need them."
            ),
            n=ENOUGH_TESTS,
        ),
        ("improve", "tried_prompt"),
        ("openai-evals",),
        "a prompt is inconsistent, nobody can say what should improve, and there are fewer than 8 "
        "test questions",
    ),
)
