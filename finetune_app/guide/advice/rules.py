"""The rules, each a small named thing: when it applies, what it does, a plain sentence, a source.

They work in this order. A gate that applies decides at once. Otherwise points are added up for
instructions, search and training; then it is seen whether what the chosen way needs is at hand.
Notes change nothing; they are what to keep in mind. LAST is for when nothing speaks up. decide.py
reads this file, docs/wizard.md shows it as a table.
"""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from finetune_app.guide.advice.answers import Answers
from finetune_app.guide.advice.kinds import Collect, Note, Points, Rule, Stop

# Example pairs: fewer than LEAST are never enough, SOME make a pilot, from GOOD on it gets steady.
LEAST_PAIRS, SOME_PAIRS, GOOD_PAIRS = 10, 50, 100
# Questions to test with. A set of 50 examples keeps at least 8 back by itself, so 8 may start.
LEAST_TESTS, GOOD_TESTS = 8, 20
FEW_DOCUMENTS = 3  # that probably fit into the instructions
BEHAVIOUR = ("tone", "format", "task", "skill")  # what examples can teach
FAST = ("weekly", "daily")


def untried(a: Answers) -> bool:
    return a.tried_prompt in (None, "no")


def lacks(a: Answers) -> bool:
    """It does not know something: facts are what should improve, or what was missing."""
    return a.improve == "facts" or a.tried_prompt == "lacks_facts"


def unnamed(a: Answers) -> bool:
    return a.improve in (None, "unsure")


def looks_up(a: Answers) -> bool:
    """Something has to be looked up at the time of the question."""
    return lacks(a) or a.facts_change in FAST or a.needs_sources is True


def _what_lacks(a: Answers) -> tuple[str, ...]:
    """Where a person said that it lacks facts."""
    said = (("improve", a.improve == "facts"), ("tried_prompt", a.tried_prompt == "lacks_facts"))
    return tuple(name for name, so in said if so)


def have(count: int | None) -> int:
    """What was skipped is not there, as far as we know."""
    return count or 0


def pairs_missing(a: Answers) -> int:
    return max(0, SOME_PAIRS - have(a.pairs))


def _documents(a: Answers) -> str:
    n = have(a.documents)
    return ngettext(
        "Nobody can put %(n)s document into every question; a search can find the lines that fit.",
        "Nobody can put %(n)s documents into every question; a search can find the lines that fit.",
        n,
    ) % {"n": f"{n:,}"}


def _few_pairs(a: Answers) -> str:
    n = have(a.pairs)
    more = {"more": pairs_missing(a), "n": n}
    if not n:
        return (
            str(_("Training needs examples of the answers you want: about %(more)s to begin with."))
            % more
        )
    return (
        ngettext(
            "You have %(n)s example. Training wants about 50 to begin with: about %(more)s more.",
            "You have %(n)s examples. Training wants about 50 to begin with: about %(more)s more.",
            n,
        )
        % more
    )


def _pilot(a: Answers) -> str:
    return str(
        _(
            "With %(n)s examples this is a pilot: enough to see whether it helps. Hundreds "
            "make it steady."
        )
    ) % {"n": a.pairs}


def _few_tests(a: Answers) -> str:
    return str(
        _(
            "With %(n)s test questions only a large difference can be told from chance. "
            "About 20 settle more."
        )
    ) % {"n": a.test_questions}


def _no_tests(a: Answers) -> str:
    n = have(a.test_questions)
    if not n:
        return str(
            _(
                "We know of no questions with known answers kept aside. Without them nobody "
                "can tell whether anything you build helps. About 20 will do."
            )
        )
    return ngettext(
        "With %(n)s test question nobody can tell whether what you build helps. About 20 will do.",
        "With %(n)s test questions nobody can tell whether what you build helps. About 20 will do.",
        n,
    ) % {"n": n}


GATES = (
    Rule(
        "works_already",
        lambda a: a.tried_prompt == "good_enough" and not a.heavy_use,
        Stop("good_enough"),
        _(
            "What you have does the job, and nothing you said makes it too dear. Building more "
            "would cost effort without gain."
        ),
        ("tried_prompt", "heavy_use"),
        ("openai-accuracy", "anthropic-prompting"),
        "a prompt is good enough, and use is not heavy",
    ),
    Rule(
        "nothing_to_read",
        lambda a: lacks(a) and not have(a.documents),
        Stop("collect_documents"),
        _(
            "What it lacks is knowledge, and we know of nothing yet that it could read. Facts do "
            "not come from instructions, nor from training."
        ),
        lambda a: (*_what_lacks(a), "documents"),
        ("judgement",),
        "facts are lacking, and there are no documents",
    ),
    Rule(
        "few_pages",
        lambda a: a.improve == "facts" and untried(a) and 0 < have(a.documents) <= FEW_DOCUMENTS,
        Stop("prompt"),
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
            unnamed(a)
            and a.tried_prompt == "inconsistent"
            and have(a.test_questions) < LEAST_TESTS
            and not looks_up(a)
        ),
        Stop("collect_tests"),
        _(
            "It is right one day and wrong the next, and it is not clear where. About 20 questions "
            "whose answers you know will show what is wrong; whatever you build will need them."
        ),
        ("improve", "tried_prompt"),
        ("openai-evals",),
        "a prompt is inconsistent, nobody can say what should improve, and there are fewer than 8 "
        "test questions",
    ),
)

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
        lambda a: lacks(a) and a.improve not in BEHAVIOUR,
        Points(rag=3, fine_tune=-2, never_alone=True),
        _(
            "What it lacks is knowledge. Facts are better looked up than learned: training takes "
            "them in slowly, and then it makes up more."
        ),
        _what_lacks,
        ("ovadia", "gekhman"),
        "facts should improve, or are what a prompt lacked, and no behaviour is named",
    ),
    Rule(
        "facts_and_behaviour",
        lambda a: a.tried_prompt == "lacks_facts" and a.improve in BEHAVIOUR,
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
        lambda a: a.facts_change in FAST,
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
        lambda a: looks_up(a) and have(a.documents) > FEW_DOCUMENTS,
        Points(rag=2),
        _documents,
        ("documents",),
        ("anthropic-retrieval",),
        "something has to be looked up in more than 3 documents",
    ),
    Rule(
        "uneven_behaviour",
        lambda a: a.improve in BEHAVIOUR and a.tried_prompt == "inconsistent",
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
        lambda a: unnamed(a) and a.tried_prompt == "inconsistent" and have(a.pairs) >= SOME_PAIRS,
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

MATERIAL = (
    Rule(
        "no_documents",
        lambda a: not have(a.documents),
        Collect("collect_documents", ("rag", "rag_then_fine_tune")),
        _("A search is right, but we know of nothing yet to search."),
        ("documents",),
        ("judgement",),
        "no documents",
    ),
    Rule(
        "far_too_few_pairs",
        lambda a: have(a.pairs) < LEAST_PAIRS,
        Collect("collect_pairs", ("fine_tune",)),
        _few_pairs,
        ("pairs",),
        ("openai-tuning", "google-tuning"),
        "fewer than 10 pairs",
    ),
    Rule(
        "too_few_pairs",
        lambda a: LEAST_PAIRS <= have(a.pairs) < SOME_PAIRS,
        Collect("collect_pairs", ("fine_tune",)),
        _few_pairs,
        ("pairs",),
        ("openai-tuning", "google-tuning"),
        "10 to 49 pairs",
    ),
    Rule(
        "no_tests",
        lambda a: have(a.test_questions) < LEAST_TESTS,
        Collect("collect_tests", ("rag", "fine_tune", "rag_then_fine_tune")),
        _no_tests,
        ("test_questions",),
        ("openai-evals",),
        "fewer than 8 test questions",
    ),
)

NOTES = (
    Rule(
        "pilot",
        lambda a: SOME_PAIRS <= have(a.pairs) < GOOD_PAIRS,
        Note(("fine_tune", "rag_then_fine_tune")),
        _pilot,
        ("pairs",),
        ("openai-tuning", "google-tuning"),
        "50 to 99 pairs",
    ),
    Rule(
        "few_tests",
        lambda a: LEAST_TESTS <= have(a.test_questions) < GOOD_TESTS,
        Note(("rag", "fine_tune", "rag_then_fine_tune")),
        _few_tests,
        ("test_questions",),
        ("openai-evals",),
        "8 to 19 test questions",
    ),
    Rule(
        "short_enough_to_paste",
        lambda a: 0 < have(a.documents) <= FEW_DOCUMENTS,
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

LAST = Rule(
    "nothing_stands_out",
    lambda a: True,
    Stop("prompt"),
    _(
        "Nothing you said calls for more than instructions yet. Look at the questions it gets "
        "wrong, and say in the instructions what to do there."
    ),
    ("tried_prompt",),
    ("judgement",),
    "no method has the 2 points that make it worth its effort",
)

RULES = (*GATES, *POINTS, *MATERIAL, *NOTES, LAST)
