"""Rules that add up points for instructions, search and training."""

from django.utils.translation import gettext_lazy as _

from finetune_app.datasets.enough_examples import PILOT_EXAMPLES
from finetune_app.guide.advice.rule_types import Points, Rule
from finetune_app.guide.advice.rules import conditions as c
from finetune_app.guide.advice.rules.thresholds import FEW_DOCUMENTS

POINTS = (
    Rule(
        "prompt_first",
        lambda a: a.tried_prompt == "no",
        Points(prompt=4),
        _(
            "You have not tried clear instructions with three to five examples yet. It is the "
            "cheapest thing that could work, and what anything else has to beat."
        ),
        ("tried_prompt",),
        ("anthropic-prompting", "google-tuning", "openai-devday"),
        "no prompt was tried",
    ),
    Rule(
        "prompt_not_told",
        lambda a: a.tried_prompt is None,
        Points(prompt=4),
        _(
            "We do not know of any attempt with clear instructions and a few examples. It is the "
            "cheapest thing that could work, and it shows what is missing."
        ),
        (),
        ("anthropic-prompting", "google-tuning", "openai-devday"),
        "not told whether a prompt was tried",
    ),
    Rule(
        "facts_missing",
        lambda a: c.lacks_facts(a) and a.improve not in c.BEHAVIOUR,
        Points(rag=3, fine_tune=-2, never_alone=True),
        _(
            "What it lacks is knowledge. Facts are better looked up than learned: training takes "
            "them in slowly, and then it makes up more."
        ),
        c.answers_on_missing_facts,
        ("ovadia", "gekhman"),
        "facts should improve, or are what a prompt lacked, and no behaviour is named",
    ),
    Rule(
        "facts_and_behaviour",
        lambda a: a.tried_prompt == "lacks_facts" and a.improve in c.BEHAVIOUR,
        Points(rag=3, fine_tune=3, never_alone=True),
        _(
            "Two things are missing: the facts, and the way of answering. Search brings the first, "
            "examples teach the second, and the gains add up."
        ),
        ("improve", "tried_prompt"),
        ("balaguer", "openai-accuracy"),
        "a behaviour should improve, and a prompt lacked facts",
    ),
    Rule(
        "facts_move",
        lambda a: a.facts_change in c.FAST_CHANGING,
        Points(rag=2, never_alone=True),
        _(
            "Facts that change this fast have to be looked up when the question comes. A model "
            "that learned them would be out of date within days."
        ),
        ("facts_change",),
        ("openai-devday", "openai-accuracy"),
        "facts change weekly or daily",
    ),
    Rule(
        "sources_wanted",
        lambda a: a.needs_sources is True,
        Points(rag=2, never_alone=True),
        _(
            "An answer can only name its source if the source was there when it answered. That is "
            "what searching your documents does."
        ),
        ("needs_sources",),
        ("judgement", "openai-accuracy"),
        "answers must show their source",
    ),
    Rule(
        "too_much_to_paste",
        lambda a: c.needs_retrieval(a) and c.count_of(a.documents) > FEW_DOCUMENTS,
        Points(rag=2),
        c.too_many_documents_text,
        ("documents",),
        ("anthropic-retrieval",),
        "something has to be looked up in more than 3 documents",
    ),
    Rule(
        "uneven_behaviour",
        lambda a: a.improve in c.BEHAVIOUR and a.tried_prompt == "inconsistent",
        Points(fine_tune=3),
        _(
            "It is not what it knows but how it answers, and instructions do not hold it steady. "
            "That is what examples teach best."
        ),
        ("improve", "tried_prompt"),
        ("google-tuning", "lima"),
        "a behaviour should improve, and a prompt was inconsistent",
    ),
    Rule(
        "uneven_with_examples",
        lambda a: (
            c.fault_unknown(a)
            and a.tried_prompt == "inconsistent"
            and c.count_of(a.pairs) >= PILOT_EXAMPLES
        ),
        Points(fine_tune=2),
        _(
            "It is uneven without a fault that has a name, and your examples show what right looks "
            "like. That can be learned from them."
        ),
        ("improve", "tried_prompt", "pairs"),
        ("judgement",),
        "nobody can say what should improve, a prompt was inconsistent, and there are 50 pairs",
    ),
    Rule(
        "works_but_dear",
        lambda a: a.tried_prompt == "good_enough" and a.heavy_use is True and a.improve != "facts",
        Points(fine_tune=3),
        _(
            "The answers are good enough; what hurts is what they cost. A small model that has "
            "learned the task needs no long instructions."
        ),
        ("tried_prompt", "heavy_use"),
        ("openai-accuracy", "google-tuning"),
        "a prompt is good enough, but use is heavy, and it is not about facts",
    ),
    Rule(
        "heavy_use",
        lambda a: a.heavy_use is True,
        Points(fine_tune=1),
        _("At this load every word of the instructions is paid for again and again."),
        ("heavy_use",),
        ("google-tuning",),
        "long prompts or heavy use",
    ),
    Rule(
        "private_data",
        lambda a: a.private_data is True,
        Points(fine_tune=-1),
        _(
            "Your data is private, and a trained model may repeat what it read. Look for personal "
            "data before you train, and train where the data may be."
        ),
        ("private_data",),
        ("szep",),
        "private data",
    ),
)
