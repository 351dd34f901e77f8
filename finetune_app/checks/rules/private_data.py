"""Rules about passwords, keys and personal data."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow, spans_of


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
            spans=spans_of(found),
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
        spans=spans_of(found),
        fix="hide_personal",
        fix_label=_("Replace in %(n)s") % {"n": len(found)},
    )
