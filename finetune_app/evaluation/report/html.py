"""The report as one HTML file: styles and charts inside, no script, no address of anything else."""

import re
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from finetune_app.core import charts
from finetune_app.evaluation.report.contents import Report

STYLE_SHEETS = ("tokens.css", "charts.css", "report.css")
LIGHT_OR_DARK = re.compile(r"light-dark\(([^(),]+),[^()]+\)")


def html_report(report: Report) -> str:
    marks, scores = report.marks, report.scores
    context = {
        "report": report,
        "styles": _styles(),
        "marks": charts.verdict_marks(marks.better, marks.same, marks.worse, needed=marks.needed),
        "scores": charts.whiskers(scores.rows, scores.total) if scores else "",
    }
    return render_to_string("evaluation/report.html", context)


@lru_cache(maxsize=1)
def _styles() -> SafeString:
    """The style sheets in one text. Light only: a report is printed, and read in old browsers."""
    folder = Path(settings.BASE_DIR) / "static" / "css"
    text = "\n".join((folder / name).read_text(encoding="utf-8") for name in STYLE_SHEETS)
    return mark_safe(LIGHT_OR_DARK.sub(r"\1", text))
