"""The context of the table page, and helpers that the views share."""

from dataclasses import dataclass
from typing import Any, TypedDict

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.requests import render_page
from finetune_app.datasets import status_counts
from finetune_app.datasets.bulk_actions import bulk_actions, team_members
from finetune_app.datasets.models import PAIR, Dataset, Edit, Example, Import, Split
from finetune_app.datasets.table_query import (
    NOBODY,
    SORTS,
    TRASH,
    UNTOLD,
    TableFilters,
    TablePage,
    page_of,
)
from finetune_app.goals.measures import parse_fields
from finetune_app.goals.models import Goal

SENTENCE_CHARACTERS = 24  # longer values are shown as text, not as code


class AnswerField(TypedDict):
    """A field of a structured answer. `say` shows its value as text, not as code."""

    key: str
    value: str
    say: bool


@dataclass(frozen=True)
class TableRow:
    example: Example
    pairs: list[AnswerField] | None  # None for a plain text answer
    worse_pairs: list[AnswerField] | None  # the same for the worse answer
    turns: int
    unlearned: int  # answers that are read, not learned


def answer_pairs(text: str) -> list[AnswerField] | None:
    """The answer's fields for components/answer.html; None for plain text."""
    pairs = parse_fields(text)
    if not pairs:
        return None
    return [
        {"key": key, "value": value, "say": len(value) > SENTENCE_CHARACTERS and " " in value}
        for key, value in pairs
    ]


def table_row(example: Example) -> TableRow:
    turns = sum(message["role"] == "user" for message in example.messages)
    unlearned = sum("weight" in message for message in example.messages)
    answers = (answer_pairs(example.answer), answer_pairs(example.rejected))
    return TableRow(example, *answers, turns, unlearned)


def table(request: HttpRequest, goal: Goal, dataset: Dataset, **more: Any) -> dict[str, Any]:
    """The context of the whole dataset page."""
    filters = TableFilters.read(request.GET)
    counts = status_counts.counts(dataset)
    page = page_of(dataset, filters, counts)
    address = reverse("datasets:page", kwargs={"goal_id": goal.pk})  # a row has its own
    done = dataset.imports.filter(step=Import.Step.DONE)
    imports = list(done.only("file_name", "created_at")[:50])
    people = team_members(goal.team)
    return {
        "goal": goal,
        "dataset": dataset,
        "filters": filters,
        "tabs": _tabs(filters, counts | {"pairs": _count_pairs(dataset)}, trains=goal.trains),
        "address": address,
        "previous": page.previous and address + page.previous,
        "next": page.next and address + page.next,
        "counts": counts,
        "page": page,
        "rows": [table_row(example) for example in page.examples],
        "last_import": imports[0] if imports else None,
        "can_edit": may_edit(request),
        "all_splits": Split.choices,
        "unfound": address + filters.query(finding=""),
        "showing": showing(page),
        "how_many": str(page.total),
        "sorts": [(name, label) for name, (_field, label) in SORTS.items()],
        "people": [(str(user.pk), str(user)) for user in people],
        "nobody": NOBODY,
        "languages": _languages(dataset, filters),
        "untold": UNTOLD,
        "files": [(one.pk, one.file_name) for one in imports],
        "bulk_actions": bulk_actions(people, trash=filters.status == TRASH),
        "unfinished_edits": dataset.edits.exclude(todo={}).select_related("job")[:3],
        **more,
    }


def _languages(dataset: Dataset, filters: TableFilters) -> list[str]:
    """The language codes for the filter: those of the last check, and the selected one."""
    codes = [code for code, _count in dataset.facts.get("languages") or []]
    if filters.lang and filters.lang != UNTOLD and filters.lang not in codes:
        codes.append(filters.lang)
    return [*codes, UNTOLD] if codes else []


def showing(page: TablePage) -> str:
    if not page.first:
        return _("%(some)s of %(total)s") % {
            "some": len(page.examples),
            "total": str(page.total),
        }
    return _("%(first)s to %(last)s of %(total)s") % {
        "first": f"{page.first:,}",
        "last": f"{page.last:,}",
        "total": str(page.total),
    }


def _count_pairs(dataset: Dataset) -> int:
    return dataset.examples.kept().filter(PAIR).order_by().count()


def _tabs(filters: TableFilters, counts: dict[str, int], *, trains: bool) -> list[dict[str, Any]]:
    named = [
        ("", _("All"), "all"),
        ("approved", _("Approved"), "approved"),
        ("draft", _("Draft"), "draft"),
        ("set_aside", _("Set aside"), "set_aside"),
    ]
    tabs = [
        {
            "name": name,
            "count": counts[key],
            "query": filters.query(status=status, pairs=False),
            "here": filters.status == status and not filters.pairs,
        }
        for status, name, key in named
    ]
    if counts["pending"]:
        tabs.insert(
            1,
            {
                "name": _("To do"),
                "count": counts["pending"],
                "query": filters.query(status="pending", pairs=False),
                "here": filters.status == "pending" and not filters.pairs,
            },
        )
    if trains or counts["pairs"]:
        tabs.append(
            {
                "name": _("Pairs"),
                "count": counts["pairs"],
                "query": filters.query(status="", pairs=True),
                "here": filters.pairs,
            }
        )
    if counts["trash"]:
        tabs.append(
            {
                "name": _("Trash"),
                "count": counts["trash"],
                "query": filters.query(status=TRASH, pairs=False),
                "here": filters.status == TRASH and not filters.pairs,
            }
        )
    return tabs


def back_to_table(
    request: HttpRequest,
    goal: Goal,
    *,
    message: str = "",
    edit: Edit | None = None,
    at: int = 0,
    warn: bool = False,
) -> HttpResponse:
    """Redirect to the table with the same filters, with a message and its undo button."""
    if message:
        level = messages.WARNING if warn else messages.SUCCESS
        text = with_undo(goal, message, edit) if edit else message
        messages.add_message(request, level, text, extra_tags="undo" if edit else "")
    filters = TableFilters.read(request.GET)
    url = reverse("datasets:page", kwargs={"goal_id": goal.pk}) + filters.here.rstrip("?")
    return redirect(url + (f"#row-{at}" if at else ""))


def with_undo(goal: Goal, message: str, edit: Edit) -> str:
    """The message with an undo button. It belongs to the page's form "undo", because a paragraph
    cannot contain a form."""
    return format_html(
        '{} <button class="link" form="undo" formaction="{}">{}</button>',
        message,
        reverse("datasets:undo", kwargs={"goal_id": goal.pk, "edit_id": edit.pk}),
        _("Undo"),
    )


def render(request: HttpRequest, name: str, context: dict[str, Any], **more: Any) -> HttpResponse:
    return render_page(request, f"datasets/{name}.html", context, **more)
