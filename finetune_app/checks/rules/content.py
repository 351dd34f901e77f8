"""Rules about the texts: personal data, secrets, broken characters, languages, toxicity, length."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.detectors import languages
from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow, Mark

MIN_TOXICITY = 0.8
MAX_OTHER_LANGUAGES = 0.05  # of the rows whose language is known


def _places(found: dict[int, list[Mark]]) -> dict[int, list[list[object]]]:
    return {pk: [list(mark[1:]) for mark in marks] for pk, marks in found.items()}


def secrets(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = context.marked("secrets")
    if found:
        yield CheckResult(
            check="secrets",
            severity=Severity.ERROR,
            message=ngettext(
                "%(n)s example contains a password or a key",
                "%(n)s examples contain a password or a key",
                len(found),
            )
            % {"n": len(found)},
            why=_(
                "A model can reveal them to anybody who asks in the right way. Remove them here, "
                "and change them wherever they are used."
            ),
            examples=list(found),
            spans=_places(found),
            fix="hide_secrets",
            fix_label=_("Replace in %(n)s") % {"n": len(found)},
        )


def personal_data(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = context.marked("personal")
    if not found:
        return
    kinds = Counter(kind for marks in found.values() for kind in {mark.what for mark in marks})
    names = {
        "email": _("e-mail addresses"),
        "phone": _("phone numbers"),
        "card": _("card numbers"),
        "iban": _("bank accounts"),
        "ip": _("internet addresses"),
        "ssn": _("identity numbers"),
    }
    listed = ", ".join(names[kind] for kind, _n in kinds.most_common(3))
    yield CheckResult(
        check="personal",
        severity=Severity.WARNING,
        message=ngettext(
            "%(n)s example contains personal data: %(what)s",
            "%(n)s examples contain personal data: %(what)s",
            len(found),
        )
        % {"n": len(found), "what": listed},
        why=_("A trained model may repeat them. Placeholders teach the form just as well."),
        examples=list(found),
        spans=_places(found),
        fix="hide_personal",
        fix_label=_("Replace in %(n)s") % {"n": len(found)},
    )


def broken_characters(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = context.marked("broken")
    if found:
        yield CheckResult(
            check="broken",
            severity=Severity.WARNING,
            message=ngettext(
                "Some characters of %(n)s example look broken",
                "Some characters of %(n)s examples look broken",
                len(found),
            )
            % {"n": len(found)},
            why=_(
                "The file was probably read with the wrong encoding once. We can restore what is "
                "not lost."
            ),
            examples=list(found),
            spans=_places(found),
            fix="mend_characters",
            fix_label=_("Repair %(n)s") % {"n": len(found)},
        )


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


def toxic(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = [pk for pk, scan in context.scans.items() if (scan.toxic or 0) >= MIN_TOXICITY]
    if found:
        yield CheckResult(
            check="toxic",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s example may be rude or hateful",
                "%(n)s examples may be rude or hateful",
                len(found),
            )
            % {"n": len(found)},
            why=_(
                "Please read them. What an angry customer writes may stay; what the model should "
                "never say may not. Only English is judged."
            ),
            examples=found,
        )


def mixed_instructions(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    instructed = set(context.marked("instructed"))
    without = [row.pk for row in rows if row.pk not in instructed]
    if instructed and without:
        yield CheckResult(
            check="instructions",
            severity=Severity.INFO,
            message=ngettext(
                "%(n)s example has instructions, %(others)s have none",
                "%(n)s examples have instructions, %(others)s have none",
                len(instructed),
            )
            % {"n": len(instructed), "others": len(without)},
            why=_(
                "In use every question comes with the same instructions or with none, so the "
                "examples should too."
            ),
            examples=without if len(without) < len(instructed) else sorted(instructed),
            fix="same_instructions" if len(without) < len(instructed) else "no_instructions",
            fix_label=_("Give them to all")
            if len(without) < len(instructed)
            else _("Remove them from %(n)s") % {"n": len(instructed)},
        )


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
                "Its question would vanish: %(model)s is trained on at most %(most)s tokens "
                "(word pieces) at once. Shorten the answer, or set it aside."
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
            message=ngettext(
                "%(n)s example will be cut off", "%(n)s examples will be cut off", len(cut)
            )
            % {"n": len(cut)},
            why=_(
                "%(model)s is trained on at most %(most)s tokens (word pieces) at once. The "
                "beginning of longer questions is left out."
            )
            % sizes,
            examples=cut,
            fix="set_aside",
            fix_label=_("Set %(n)s aside") % {"n": len(cut)},
        )
