"""One test prompt at a time, with the answers of up to five candidates beside each other."""

from dataclasses import dataclass, replace
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import whole_number
from finetune_app.evaluation import presenters
from finetune_app.evaluation.models import Comparison, Evaluation, PromptNote

MAX_SHOWN = 5
MAX_NOTE_CHARACTERS = 2_000


@dataclass(frozen=True)
class Selection:
    """What the address asks for: which candidates, and which prompts."""

    shown: list[int]
    outcome: str
    text: str
    noted: bool

    @classmethod
    def from_query(cls, evaluation: Evaluation, query: QueryDict) -> "Selection":
        """Unknown candidates are ignored; without any, the simplest and the one in question."""
        known = [candidate.pk for candidate in evaluation.candidates()]
        asked = {whole_number(value) for value in query.getlist("with")}
        chosen = [pk for pk in known if pk in asked] or _by_default(evaluation, known)
        return cls(
            shown=chosen[:MAX_SHOWN],
            outcome=query.get("outcome", ""),
            text=query.get("q", "").replace("\0", "")[:200].strip(),
            noted="noted" in query,
        )

    @property
    def without_filters(self) -> str:
        return replace(self, outcome="", text="", noted=False).address()

    def address(self, **more: object) -> str:
        """The query string, with `more` parameters."""
        query = QueryDict(mutable=True)
        query.setlist("with", [str(pk) for pk in self.shown])
        if self.outcome:
            query["outcome"] = self.outcome
        if self.text:
            query["q"] = self.text
        if self.noted:
            query["noted"] = "1"
        for name, value in more.items():
            query[name] = str(value)
        return f"?{query.urlencode()}"


def _by_default(evaluation: Evaluation, known: list[int]) -> list[int]:
    """All, where they fit; else the base, the one in question and those of least effort."""
    first = [evaluation.base_id, evaluation.ours_id]
    rest = [pk for pk in known if pk not in first]
    chosen = {*first, *rest[: MAX_SHOWN - len(first)]}
    return [pk for pk in known if pk in chosen]


def side_by_side_context(evaluation: Evaluation, query: QueryDict, user: User) -> dict[str, Any]:
    """Context of the page for the prompt at `at`, or the first one that matches."""
    selection = Selection.from_query(evaluation, query)
    rows = _matching(evaluation, selection)
    indexes = list(rows.values_list("index", flat=True))
    asked = whole_number(query.get("at"))
    at = asked if asked in indexes else indexes[0] if indexes else None
    context: dict[str, Any] = {
        "selection": selection,
        "choices": _choices(evaluation, selection),
        "filters": presenters.filters(presenters.outcome_counts(evaluation)),
        "found": len(indexes),
        "graded": evaluation.get_measure().graded,
        "noted_count": evaluation.prompt_notes.values("index").distinct().count(),
        "max_note": MAX_NOTE_CHARACTERS,
    }
    if at is None:
        return context
    place = indexes.index(at)
    return context | {
        "row": rows.get(index=at),
        "columns": _columns(evaluation, selection, at),
        "place": place + 1,
        "before": selection.address(at=indexes[place - 1]) if place else "",
        "after": selection.address(at=indexes[place + 1]) if place + 1 < len(indexes) else "",
        "here": selection.address(at=at),
        "my_note": evaluation.prompt_notes.filter(index=at, by=user).first(),
        "other_notes": evaluation.prompt_notes.filter(index=at).exclude(by=user),
    }


def _matching(evaluation: Evaluation, selection: Selection) -> QuerySet[Comparison]:
    rows = presenters.filtered(evaluation, selection.outcome, selection.text)
    if selection.noted:
        rows = rows.filter(index__in=evaluation.prompt_notes.values("index"))
    return rows


def _choices(evaluation: Evaluation, selection: Selection) -> list[tuple[int, str, bool]]:
    """(id, label, shown) of each candidate."""
    return [
        (candidate.pk, presenters.label_of(candidate), candidate.pk in selection.shown)
        for candidate in evaluation.candidates()
    ]


def _columns(
    evaluation: Evaluation, selection: Selection, index: int
) -> list[tuple[Candidate, str, presenters.ShownAnswer | None]]:
    """(candidate, label, answer) of each candidate that is shown."""
    answers = {one.candidate_id: one for one in evaluation.answers.filter(index=index)}
    row = evaluation.comparisons.get(index=index)
    wanted = None if evaluation.needs_person else row.wanted
    names = presenters.document_names(evaluation, answers.values())
    return [
        (
            candidate,
            presenters.label_of(candidate),
            presenters.candidate_answer(answers.get(candidate.pk), wanted, names),
        )
        for candidate in evaluation.candidates()
        if candidate.pk in selection.shown
    ]


def save_note(*, evaluation: Evaluation, index: int, by: User, text: str) -> None:
    """Write this person's note on a prompt; an empty text deletes it.

    Raises:
        PlainError: there is no such prompt, or the text is too long.
    """
    if not evaluation.comparisons.filter(index=index).exists():
        raise PlainError(_("There is no such prompt in this test."), status=404)
    text = text.replace("\0", "").strip()
    if len(text) > MAX_NOTE_CHARACTERS:
        raise PlainError(
            _("A note can have %(n)s characters at most.") % {"n": f"{MAX_NOTE_CHARACTERS:,}"}
        )
    if not text:
        PromptNote.objects.filter(evaluation=evaluation, index=index, by=by).delete()
        return
    PromptNote.objects.update_or_create(
        evaluation=evaluation, index=index, by=by, defaults={"text": text}
    )
