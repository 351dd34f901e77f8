"""The rule about examples that are longer than a training reads."""

from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow


def too_long(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    limit = context.token_limit
    if limit is None or not context.trains:
        return
    too_long = [pk for pk, scan in context.scans.items() if (scan.tokens or 0) > limit.max_tokens]
    no_prompt = [
        pk for pk in too_long if (context.scans[pk].answer_tokens or 0) >= limit.max_tokens
    ]
    cut = [pk for pk in too_long if pk not in set(no_prompt)]
    sizes = {"most": f"{limit.max_tokens:,}", "model": limit.model}
    if no_prompt:
        yield CheckResult(
            check="answer_too_long",
            severity=Severity.ERROR,
            message=ngettext(
                "%(n)s answer is longer than a whole example may be",
                "%(n)s answers are longer than a whole example may be",
                len(no_prompt),
            )
            % {"n": len(no_prompt)},
            why=_(
                "%(model)s is trained on at most %(most)s tokens (word pieces) at once, so it is "
                "not learned. Shorten the answer, or set it aside."
            )
            % sizes,
            examples=no_prompt,
            fix="set_aside",
            fix_label=_("Set %(n)s aside") % {"n": len(no_prompt)},
        )
    if cut:
        yield CheckResult(
            check="too_long",
            severity=Severity.WARNING,
            message=ngettext("%(n)s example is too long", "%(n)s examples are too long", len(cut))
            % {"n": len(cut)},
            why=_(
                "%(model)s is trained on at most %(most)s tokens (word pieces) at once. A longer "
                "conversation loses its earliest turns; a single question that is longer is not "
                "learned."
            )
            % sizes,
            examples=cut,
            fix="set_aside",
            fix_label=_("Set %(n)s aside") % {"n": len(cut)},
        )
