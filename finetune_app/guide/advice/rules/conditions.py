"""Conditions that several rules share, and the sentences that depend on a number."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from finetune_app.datasets.enough_examples import ENOUGH_TESTS, PILOT_EXAMPLES
from finetune_app.guide.advice.answers import Answers

BEHAVIOUR = ("tone", "format", "task", "skill")  # what examples can teach
FAST_CHANGING = ("weekly", "daily")


def no_prompt_tried(a: Answers) -> bool:
    return a.tried_prompt in (None, "no")


def lacks_facts(a: Answers) -> bool:
    """Facts are what should improve, or what was missing."""
    return a.improve == "facts" or a.tried_prompt == "lacks_facts"


def fault_unknown(a: Answers) -> bool:
    return a.improve in (None, "unsure")


def needs_retrieval(a: Answers) -> bool:
    """Something has to be looked up when the question is asked."""
    return lacks_facts(a) or a.facts_change in FAST_CHANGING or a.needs_sources is True


def answers_on_missing_facts(a: Answers) -> tuple[str, ...]:
    """The names of the answers by which it lacks facts."""
    given = {"improve": a.improve == "facts", "tried_prompt": a.tried_prompt == "lacks_facts"}
    return tuple(name for name, lacks in given.items() if lacks)


def count_of(count: int | None) -> int:
    """A count that was skipped is taken as 0."""
    return count or 0


def pairs_missing(a: Answers) -> int:
    return max(0, PILOT_EXAMPLES - count_of(a.pairs))


def too_many_documents_text(a: Answers) -> str:
    n = count_of(a.documents)
    return ngettext(
        "Nobody can put %(n)s document into every question; a search can find the lines that fit.",
        "Nobody can put %(n)s documents into every question; a search can find the lines that fit.",
        n,
    ) % {"n": f"{n:,}"}


def few_pairs_text(a: Answers) -> str:
    n = count_of(a.pairs)
    more = {"more": pairs_missing(a), "n": n, "pilot": PILOT_EXAMPLES}
    if not n:
        return (
            str(_("Training needs examples of the answers you want: about %(more)s to begin with."))
            % more
        )
    return (
        ngettext(
            "You have %(n)s example. Training wants about %(pilot)s to begin with: about %(more)s "
            "more.",
            "You have %(n)s examples. Training wants about %(pilot)s to begin with: about %(more)s "
            "more.",
            n,
        )
        % more
    )


def pilot_text(a: Answers) -> str:
    return str(
        _(
            "With %(n)s examples this is a pilot: enough to see whether it helps. Hundreds "
            "make it steady."
        )
    ) % {"n": a.pairs}


def few_tests_text(a: Answers) -> str:
    return str(
        _(
            "With %(n)s test questions only a large difference can be told from chance. "
            "About %(enough)s settle more."
        )
    ) % {"n": a.test_questions, "enough": ENOUGH_TESTS}


def no_tests_text(a: Answers) -> str:
    n = count_of(a.test_questions)
    numbers = {"n": n, "enough": ENOUGH_TESTS}
    if not n:
        return (
            str(
                _(
                    "We know of no questions with known answers kept aside. Without them nobody "
                    "can tell whether anything you build helps. About %(enough)s will do."
                )
            )
            % numbers
        )
    return (
        ngettext(
            "With %(n)s test question nobody can tell whether what you build helps. About "
            "%(enough)s will do.",
            "With %(n)s test questions nobody can tell whether what you build helps. About "
            "%(enough)s will do.",
            n,
        )
        % numbers
    )
