"""Downloads of an evaluation: the report, and every answer."""

from django.http import Http404, HttpResponse, HttpResponseBase
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download
from finetune_app.core.errors import PlainError
from finetune_app.evaluation.access import get_evaluation
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.report.answers import answer_pieces
from finetune_app.evaluation.report.contents import report_of
from finetune_app.evaluation.report.html import html_report
from finetune_app.evaluation.report.pdf import pdf_report
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

TYPES = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
}


@goal_page(Role.VIEWER, "GET", audit=AuditAction.EVALUATION_EXPORTED)
def download_results(
    request: HttpRequest, goal: Goal, evaluation_id: int, form: str
) -> HttpResponseBase:
    """`form` is a key of TYPES: the report as html or pdf, every answer as csv or jsonl."""
    if form not in TYPES:
        raise Http404("there is no such form")
    evaluation = get_evaluation(goal, evaluation_id)
    _require_results(evaluation)
    name = f"{slugify(goal.name)[:40] or 'goal'}-evaluation-{evaluation.pk}"
    if form in ("csv", "jsonl"):
        pieces = answer_pieces(evaluation, form)
        return download(request, pieces, name=f"{name}-answers.{form}", content_type=TYPES[form])
    if not evaluation.verdict:
        raise PlainError(
            _("This test has no verdict, so there is nothing to report. Test again."),
            status=409,
            title=_("No verdict yet"),
        )
    report = report_of(evaluation)
    content = html_report(report) if form == "html" else pdf_report(report)
    response = HttpResponse(content, content_type=TYPES[form])
    response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return response


def _require_results(evaluation: Evaluation) -> None:
    """Raises PlainError while it runs, or while people choose blind."""
    if not evaluation.comparisons.exists():
        raise PlainError(
            _("This test has not finished. Download its results when it has."),
            status=409,
            title=_("Not finished yet"),
        )
    if evaluation.hides_names:
        raise PlainError(
            _("Which answer is whose is shown once the votes are counted. Come back then."),
            status=409,
            title=_("Not decided yet"),
        )
