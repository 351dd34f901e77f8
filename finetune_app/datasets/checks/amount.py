"""Too few, or nothing kept back. Thresholds from published advice: 10 at the least, 50 to see
an effect, 100 for a good start (OpenAI, Google, Kiln)."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.datasets.checks.base import About, Found, Row
from finetune_app.datasets.models import Severity, Split

LEAST, SOME, GOOD = 10, 50, 100
TEST = 20


def too_few(rows: list[Row], about: About) -> Iterator[Found]:
    have = len(rows)
    if have >= GOOD:
        return
    message = ngettext("You have %(n)s approved example", "You have %(n)s approved examples", have)
    if have < LEAST:
        severity = Severity.ERROR
        why = _("A model learns nothing steady from fewer than 10. Aim for 50 good ones.")
    elif have < SOME:
        severity = Severity.WARNING
        why = _("That is enough to try, rarely enough to see a clear effect. Aim for 50 good ones.")
    else:
        severity = Severity.INFO
        why = _("That makes a good pilot. From 100 on results get steadier.")
    yield Found(check="too_few", severity=severity, message=message % {"n": have}, why=why)


def no_test(rows: list[Row], about: About) -> Iterator[Found]:
    counts = _counts(rows)
    if len(rows) >= LEAST and not counts[Split.TEST]:
        yield Found(
            check="no_test",
            severity=Severity.ERROR,
            message=_("Nothing is kept back for the test"),
            why=_("Only prompts the model has never seen can show whether it learned anything."),
            fix="hold_back_test",
            fix_label=_("Keep some back"),
        )
    if len(rows) >= LEAST and not counts[Split.TRAIN]:
        yield Found(
            check="no_train",
            severity=Severity.ERROR,
            message=_("There is nothing to learn from"),
            why=_("Every approved example is kept back for practice or for the test. Open some "
                  "and use them to learn."),
        )


def small_test(rows: list[Row], about: About) -> Iterator[Found]:
    tests = _counts(rows)[Split.TEST]
    if 0 < tests < TEST:
        yield Found(
            check="small_test",
            severity=Severity.INFO,
            message=ngettext(
                "%(n)s prompt is kept back for the test",
                "%(n)s prompts are kept back for the test",
                tests,
            ) % {"n": tests},
            why=_("With fewer than 20 only a large difference can be told from chance. About 110 "
                  "examples give a test of 20."),
        )


def no_practice(rows: list[Row], about: About) -> Iterator[Found]:
    if len(rows) >= LEAST and not _counts(rows)[Split.VALIDATION]:
        yield Found(
            check="no_practice",
            severity=Severity.WARNING,
            message=_("No practice prompts are kept back"),
            why=_("While it learns, a few prompts it does not learn from show when to stop."),
            fix="hold_back_practice",
            fix_label=_("Keep some back"),
        )


def _counts(rows: list[Row]) -> Counter[str]:
    return Counter(row.split for row in rows)
