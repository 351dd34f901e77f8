"""Which test prompts prove nothing about the candidates of an evaluation, and are left out.

Those that a candidate has learned from, with whichever version, or from others of the same group,
and those whose answers it has suggested. Of the latter those that people corrected are left out as
well: the accepted ones alone would leave the prompts on which the model was wrong. Where a model
elsewhere takes part, prompts with tools are left out as well: it is asked without tools, so each
would count as lost.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.lineage import same_models, versions_learned_from
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Suggestion
from finetune_app.evaluation.held_out import (
    learned_rows,
    read_questions,
    rows_with_tools,
)
from finetune_app.evaluation.models import Evaluation
from finetune_app.versions.models import Version


@dataclass(frozen=True)
class LeftOut:
    """Ids of test rows; none is in two sets."""

    learned: set[int]
    suggested: set[int]
    tools: set[int]

    @property
    def rows(self) -> set[int]:
        return self.learned | self.suggested | self.tools

    def counts(self) -> dict[str, int]:
        return {
            "learned": len(self.learned),
            "suggested": len(self.suggested),
            "tools": len(self.tools),
        }


def left_out_of(
    version: Version, candidates: Collection[Candidate], chosen: Collection[int] = ()
) -> LeftOut:
    """What has to be left out of this version's test, or of the `chosen` rows of it, so that it is
    fair to all candidates."""
    learned_from = versions_learned_from(candidates)
    learned = learned_rows(version, learned_from) if learned_from else set()
    suggested = _suggested_rows(version, candidates)
    if suggested:
        suggested &= read_questions(version).keys()
    tools = rows_with_tools(version) if any(one.is_remote for one in candidates) else set()
    if chosen:
        learned, suggested, tools = (
            rows.intersection(chosen) for rows in (learned, suggested, tools)
        )
    return LeftOut(learned, suggested - learned, tools - suggested - learned)


def _suggested_rows(version: Version, candidates: Collection[Candidate]) -> set[int]:
    suggested = Suggestion.objects.filter(
        example__dataset=version.dataset_id,
        candidate_id__in=same_models(candidates).order_by().values("pk"),
    )
    return set(suggested.order_by().values_list("example__number", flat=True))


def rows_to_ask(version: Version, chosen: Sequence[int], left_out: LeftOut) -> list[int]:
    """Ids of the test rows that are asked, of the `chosen` ones or of the whole test split; empty
    for the whole.

    Raises:
        PlainError: none is left.
    """
    if not left_out.rows:
        return list(chosen)
    rows = [row for row in chosen or read_questions(version) if row not in left_out.rows]
    if not rows and left_out.tools:
        raise PlainError(
            _(
                "All prompts that could be asked have tools, and models elsewhere are asked "
                "without tools here. Test without the model elsewhere, or add examples without "
                "tools, keep all of them for the test, freeze, and test again."
            ),
            title=_("Nothing to test it on"),
        )
    if not rows:
        raise PlainError(
            _(
                "The models that take part have learned from every prompt of this test, or "
                "suggested its answer, so it would prove nothing. Add examples that no model has "
                "seen, keep all of them for the test, freeze, and test again."
            ),
            title=_("Nothing to test it on"),
        )
    return rows


def left_out_notes(evaluation: Evaluation) -> tuple[str, ...]:
    """How many prompts were left out and why, for the verdict."""
    learned = evaluation.left_out.get("learned", 0)
    suggested = evaluation.left_out.get("suggested", 0)
    tools = evaluation.left_out.get("tools", 0)
    notes = (
        ngettext(
            "%(n)d prompt of the test was left out: a model that takes part has learned from it.",
            "%(n)d prompts of the test were left out: a model that takes part has learned from "
            "them.",
            learned,
        )
        % {"n": learned}
        if learned
        else "",
        ngettext(
            "%(n)d prompt of the test was left out: a model that takes part suggested its answer.",
            "%(n)d prompts of the test were left out: a model that takes part suggested their "
            "answers.",
            suggested,
        )
        % {"n": suggested}
        if suggested
        else "",
        ngettext(
            "%(n)d prompt of the test was left out: it has tools, and models elsewhere are asked "
            "without tools here.",
            "%(n)d prompts of the test were left out: they have tools, and models elsewhere are "
            "asked without tools here.",
            tools,
        )
        % {"n": tools}
        if tools
        else "",
    )
    return tuple(note for note in notes if note)
