"""Rules about the number of examples and about missing splits."""

import math
from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow
from finetune_app.datasets.enough_examples import (
    ENOUGH_TESTS,
    MIN_EXAMPLES,
    PILOT_EXAMPLES,
    STEADY_EXAMPLES,
)
from finetune_app.datasets.models import Split
from finetune_app.datasets.splits import WITH_TRAINING, WITHOUT_TRAINING

MIN_QUESTIONS = 3  # enough for one validation and one test question


def too_few(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    have = len(rows)
    if have >= STEADY_EXAMPLES or not context.trains:
        return
    message = ngettext("You have %(n)s approved example", "You have %(n)s approved examples", have)
    if have < MIN_EXAMPLES:
        severity = Severity.ERROR
        why = _(
            "A model learns nothing reliable from fewer than %(least)s. Aim for %(pilot)s good "
            "ones."
        )
    elif have < PILOT_EXAMPLES:
        severity = Severity.WARNING
        why = _(
            "That is enough to try, rarely enough to see a clear effect. Aim for %(pilot)s good "
            "ones."
        )
    else:
        severity = Severity.INFO
        why = _("That makes a good pilot. With %(steady)s or more, results get steadier.")
    enough = {"least": MIN_EXAMPLES, "pilot": PILOT_EXAMPLES, "steady": STEADY_EXAMPLES}
    yield CheckResult(
        check="too_few", severity=severity, message=message % {"n": have}, why=why % enough
    )


def no_test(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    counts = _counts(rows)
    if len(rows) >= _enough(context) and not counts[Split.TEST]:
        yield CheckResult(
            check="no_test",
            severity=Severity.ERROR,
            message=_("Nothing is kept back for the test"),
            why=_("Only prompts the model has never seen can show whether it learned anything.")
            if context.trains
            else _(
                "Only questions that you did not look at while writing can show whether it works."
            ),
            fix="hold_back_test",
            fix_label=_("Keep some back"),
        )
    if context.trains and len(rows) >= MIN_EXAMPLES and not counts[Split.TRAIN]:
        yield CheckResult(
            check="no_train",
            severity=Severity.ERROR,
            message=_("There is nothing to learn from"),
            why=_(
                "Every approved example is kept back for practice or for the test. Open some "
                "and use them for training."
            ),
        )


def small_test(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    tests = _counts(rows)[Split.TEST]
    if 0 < tests < ENOUGH_TESTS and not context.trains:
        yield _few_questions(tests)
    elif 0 < tests < ENOUGH_TESTS:
        yield CheckResult(
            check="small_test",
            severity=Severity.INFO,
            message=ngettext(
                "%(n)s prompt is kept back for the test",
                "%(n)s prompts are kept back for the test",
                tests,
            )
            % {"n": tests},
            why=_(
                "With fewer than %(tests)s only a large difference can be told from chance. About "
                "%(examples)s examples give a test of %(tests)s."
            )
            % {
                "tests": ENOUGH_TESTS,
                "examples": 10 * round(ENOUGH_TESTS / WITH_TRAINING.test / 10),
            },
        )


def no_validation(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    if len(rows) >= _enough(context) and not _counts(rows)[Split.VALIDATION]:
        yield CheckResult(
            check="no_practice",
            severity=Severity.WARNING,
            message=_("No practice prompts are kept back"),
            why=_("While it learns, a few prompts it does not learn from show when to stop.")
            if context.trains
            else _("You try things out on practice prompts, so that the test stays sealed."),
            fix="hold_back_practice",
            fix_label=_("Keep some back"),
        )


def _few_questions(tests: int) -> CheckResult:
    more = math.ceil((ENOUGH_TESTS - tests) / WITHOUT_TRAINING.test)
    return CheckResult(
        check="small_test",
        severity=Severity.WARNING,
        message=ngettext(
            "%(n)s question is kept back for the test",
            "%(n)s questions are kept back for the test",
            tests,
        )
        % {"n": tests},
        why=ngettext(
            "About %(enough)s tell a real difference from chance. Write about %(n)s more; some "
            "become practice prompts.",
            "About %(enough)s tell a real difference from chance. Write about %(n)s more; some "
            "become practice prompts.",
            more,
        )
        % {"enough": ENOUGH_TESTS, "n": more},
    )


def _enough(context: CheckContext) -> int:
    """The number of rows from which a split can be held back."""
    return MIN_EXAMPLES if context.trains else MIN_QUESTIONS


def _counts(rows: list[CheckRow]) -> Counter[str]:
    return Counter(row.split for row in rows)
