"""The rule about examples in another language than most."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.detectors import languages
from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow

MAX_OTHER_LANGUAGES = 0.05  # of the rows whose language is known


def mixed_languages(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    codes = {row.pk: context.scans[row.pk].language for row in rows if row.pk in context.scans}
    counts = Counter(code for code in codes.values() if code)
    if len(counts) < 2:
        return
    main, known = counts.most_common(1)[0][0], sum(counts.values())
    # One or two rows in another language are probably a detection error.
    other = [code for code, n in counts.most_common() if code != main and n >= max(3, 0.01 * known)]
    found = [pk for pk, code in codes.items() if code in other]
    if len(found) <= MAX_OTHER_LANGUAGES * known:
        return
    yield CheckResult(
        check="languages",
        severity=Severity.WARNING,
        message=ngettext(
            "%(n)s example looks %(language)s", "%(n)s examples look %(language)s", len(found)
        )
        % {"n": len(found), "language": _(" or ").join(map(languages.language_name, other[:3]))},
        why=_(
            "Most are %(language)s. If people write to you in both, that is right; if not, the "
            "model learns to mix them."
        )
        % {"language": languages.language_name(main)},
        examples=found,
        fix="set_aside",
        fix_label=_("Set %(n)s aside") % {"n": len(found)},
    )
