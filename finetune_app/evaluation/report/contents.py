"""What a report of an evaluation says, as plain data: report.html and report.typ lay it out.

Every word of the report is here or in the verdict, so that both forms say the same.
"""

from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.core.charts import Whisker
from finetune_app.core.templatetags.ui import percent
from finetune_app.core.version import program_version
from finetune_app.evaluation import presenters
from finetune_app.evaluation.breakdown import Breakdown, breakdown_of
from finetune_app.evaluation.method_table import method_table_context
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.report import additions, facts
from finetune_app.evaluation.report.examples import ReportExample, examples_of, rule
from finetune_app.evaluation.report.sections import Fact, Section, Table
from finetune_app.evaluation.trivial_baselines import TrivialRow
from finetune_app.evaluation.verdict.types import StoredVerdict
from finetune_app.evaluation.votes.presenters import what_people_say


@dataclass(frozen=True)
class Marks:
    """Prompts by outcome, and `needed`: how many more would settle it."""

    better: int
    same: int
    worse: int
    needed: int


@dataclass(frozen=True)
class Scores:
    """Each candidate's score with its 95 % interval, on an axis from 0 to `total`."""

    title: str
    total: int
    rows: list[Whisker]
    text: list[str]


@dataclass(frozen=True)
class Report:
    goal: str
    label: str
    headline: str
    sentence: str
    rarity: str
    marks: Marks
    note: str  # what the headline has to be read with; "" where nothing
    question: Section
    scores: Scores | None  # None where a person decided
    sections: list[Section]
    examples_title: str
    examples_rule: str
    examples: list[ReportExample]
    closing: list[Section]
    made: str  # by which program, when


def report_of(evaluation: Evaluation) -> Report:
    """The report of an evaluation that has a verdict."""
    evaluation.read_answers()
    verdict: StoredVerdict = evaluation.verdict
    shown = presenters.verdict_context(evaluation, "")
    # As on the page: a prompt that does as well stands beside the headline, else below the scores.
    prompt_note = shown["prompt_note"]
    prominent = prompt_note if verdict["versus_prompt"] == "not_better" else ""
    notes = [prompt_note, *shown["notes"]] if prompt_note and not prominent else shown["notes"]
    scores = _scores(evaluation, shown["score_rows"], notes)
    return Report(
        goal=evaluation.goal.name,
        label=_("Is it really better?"),
        headline=verdict["headline"],
        sentence=verdict["sentence"],
        rarity=verdict["rarity"],
        marks=Marks(
            verdict["wins"], verdict["ties"], verdict["losses"], presenters.prompts_needed(verdict)
        ),
        note=" ".join(filter(None, [shown["trivial_note"], prominent])),
        question=_question(evaluation),
        scores=scores,
        sections=[
            *_breakdown(evaluation),
            *_trivial(evaluation, shown["trivial_rows"]),
            _anything_else(evaluation, shown["lengths"], [] if scores else notes),
            *_methods(evaluation),
            *_people(evaluation),
            *additions.sections(evaluation),
            Section(_("The examples"), facts=facts.examples(evaluation.version)),
        ],
        examples_title=_("Some of the answers"),
        examples_rule=rule(),
        examples=examples_of(evaluation),
        closing=[
            Section(_("What this does not say"), points=facts.limits(evaluation)),
            Section(_("To check it"), facts=facts.origin(evaluation)),
        ],
        made=_("Written by Finetune %(version)s on %(date)s.")
        % {"version": program_version(), "date": facts.day(timezone.now())},
    )


def _question(evaluation: Evaluation) -> Section:
    goal = evaluation.goal
    text = _("All of these answered the same prompts, which none of them had seen before.")
    if evaluation.asks_fresh_only:
        text += " " + _("Only prompts were asked on which nobody had seen results yet.")
    return Section(
        _("The question"),
        quote=goal.description.strip() or goal.name,
        text=[text],
        facts=[
            *(
                Fact(presenters.label_of(one), facts.what_it_is(one))
                for one in evaluation.candidates()
            ),
            Fact(_("What counts"), evaluation.get_measure().summary()),
        ],
    )


def _scores(evaluation: Evaluation, rows: list[Whisker], notes: list[str]) -> Scores | None:
    if not rows:
        return None
    total = evaluation.comparisons.count()
    graded = evaluation.get_measure().graded
    title = (
        _("How close it comes, out of 100")
        if graded
        else _("How many of %(n)d it gets right") % {"n": total}
    )
    explained = _("The lines show the range in which the true number lies, 19 times in 20.")
    return Scores(title, 100 if graded else total, rows, [explained, *notes])


def _breakdown(evaluation: Evaluation) -> list[Section]:
    """Field by field, or label by label; nothing where the answers have neither."""
    found = breakdown_of(evaluation)
    if found is None:
        return []
    fields, labels = found["fields"], found["labels"]
    rows = [*fields.rows, fields.total] if fields else labels.rows if labels else []
    columns = [
        _("Field") if fields else _("Label"),
        _("Wanted"),
        presenters.label_of(evaluation.base),
        presenters.label_of(evaluation.ours),
    ]
    cells = [
        [one.name, f"{one.ours.wanted:,}", percent(one.base.f1), percent(one.ours.f1)]
        for one in rows
    ]
    title = _("Field by field") if fields else _("Label by label")
    explained = _("Partly right counts: of each, the balance of how much was found and right (F1).")
    return [Section(title, text=[explained], table=Table(columns, cells)), *_mixups(found)]


def _mixups(found: Breakdown) -> list[Section]:
    """Which label, or which value of a field, was answered for another; nothing without any."""
    tables = [("", found["labels"])] if found["labels"] else []
    if found["fields"]:
        tables = [(one.name, one.labels) for one in found["fields"].confusions]
    cells = [
        [*([name] if name else []), one.wanted, one.given, f"{one.count:,}"]
        for name, labels in tables
        for one in labels.mixups
    ]
    if not cells:
        return []
    columns = [_("Wanted"), _("Answered instead"), _("How often")]
    title = _("What %(ours)s mixes up most") % {"ours": found["ours"]}
    return [Section(title, table=Table([_("Field"), *columns][-len(cells[0]) :], cells))]


def _trivial(evaluation: Evaluation, rows: list[TrivialRow]) -> list[Section]:
    """What needs no model; nothing where a person decided."""
    if not rows:
        return []
    columns = [
        _("Answer"),
        _("How close") if evaluation.get_measure().graded else _("Right"),
        _("%(ours)s against it") % {"ours": presenters.label_of(evaluation.ours)},
    ]
    against = _("%(better)d better, %(worse)d worse")
    cells = [
        [row.label, row.result, against % {"better": row.wins, "worse": row.losses}] for row in rows
    ]
    explained = _(
        "These answers cost nothing. A model that does not beat each of them has not learned the "
        "task, or the measure does not measure it."
    )
    title = _("What needs no model at all")
    return [Section(title, text=[explained], table=Table(columns, cells))]


def _anything_else(
    evaluation: Evaluation, lengths: dict[str, int] | None, notes: list[str]
) -> Section:
    found = [facts.general_ability(evaluation.general), *facts.safety(evaluation)]
    if lengths:
        found.append(facts.answer_lengths(lengths))
    found.append(facts.looks(evaluation.looks))
    return Section(_("Did anything else change?"), facts=found, text=notes)


def _methods(evaluation: Evaluation) -> list[Section]:
    """Which method is enough; nothing with fewer than three."""
    context = method_table_context(evaluation)
    if not context:
        return []
    recommendation = context["recommendation"]
    columns = [_("Method"), _("Result"), _("Time per answer"), _("To set up"), _("1,000 answers")]
    rows = [
        [row.label, f"{row.right} ({row.interval})", row.seconds, row.make, row.run]
        for row in context["methods"]
    ]
    text = [recommendation.sentence] if recommendation else []
    return [Section(_("Which method is enough?"), text=text, table=Table(columns, rows))]


def _people(evaluation: Evaluation) -> list[Section]:
    """Blind votes beside the measure; nothing without any."""
    said = what_people_say(evaluation)
    return [Section(_("What people say"), text=said)] if said else []
