"""The examples of a report: ten prompts that nobody picked.

The rule: up to four where it did better, four where it did worse and two where it did the same;
where there are too few of one kind, more of the others. Within a kind the order is that of a hash
of the version's fingerprint and the prompt's place, which depends neither on the answers nor on who
asks for the report.
"""

from dataclasses import dataclass
from hashlib import sha256

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.models import Candidate
from finetune_app.evaluation.models import Answer, Comparison, Evaluation
from finetune_app.evaluation.presenters import label_of

EXAMPLES = 10
Outcome = Comparison.Outcome
WANTED_OF = {Outcome.BETTER: 4, Outcome.WORSE: 4, Outcome.SAME: 2}
SHOWN_IN_ORDER = (Outcome.BETTER, Outcome.WORSE, Outcome.SAME)
MAX_CHARACTERS, MAX_LINES = 600, 14  # of one text; the tables hold the whole


@dataclass(frozen=True)
class ExampleText:
    """A prompt or an answer, shortened.

    `note` says why it is right or wrong, `cut` how much is left out.
    """

    label: str
    text: str
    note: str = ""
    cut: str = ""


@dataclass(frozen=True)
class ReportExample:
    outcome: str
    outcome_label: str
    prompt: ExampleText
    answers: list[ExampleText]  # wanted (where there is one), base, ours


def rule() -> str:
    """The rule in words, for the report."""
    return _(
        "Nobody picked these: up to four where it did better, four where it did worse and two "
        "where it did the same, in the order of a hash of the test set's fingerprint and the "
        "prompt's place. Where one kind has too few, others fill up."
    )


def examples_of(evaluation: Evaluation) -> list[ReportExample]:
    """At most ten, the better ones first."""
    chosen = chosen_indexes(evaluation)
    rows = {row.index: row for row in evaluation.comparisons.filter(index__in=chosen)}
    answers = evaluation.answers.filter(index__in=chosen).by_candidate()
    return [_example(evaluation, rows[index], answers) for index in chosen]


def chosen_indexes(evaluation: Evaluation) -> list[int]:
    """The places of the chosen prompts in the test set, by outcome, then by hash."""
    decided = evaluation.comparisons.decided().values_list("index", "outcome")
    by_outcome: dict[str, list[int]] = {outcome.value: [] for outcome in SHOWN_IN_ORDER}
    for index, outcome in decided:
        by_outcome[outcome].append(index)
    for indexes in by_outcome.values():
        indexes.sort(key=lambda index: _draw(evaluation.version.sha256, index))
    take = {kind: min(count, len(by_outcome[kind])) for kind, count in WANTED_OF.items()}
    for outcome in SHOWN_IN_ORDER:
        spare = EXAMPLES - sum(take.values())
        take[outcome] += min(spare, len(by_outcome[outcome]) - take[outcome])
    return [index for outcome in SHOWN_IN_ORDER for index in by_outcome[outcome][: take[outcome]]]


def _draw(fingerprint: str, index: int) -> str:
    return sha256(f"{fingerprint}:{index}".encode()).hexdigest()


def _example(
    evaluation: Evaluation, row: Comparison, answers: dict[tuple[int, int], Answer]
) -> ReportExample:
    shown = [_shortened(_("Wanted"), row.wanted)] if row.wanted else []
    shown += [
        _answer(candidate, answers.get((candidate.pk, row.index)))
        for candidate in (evaluation.base, evaluation.ours)
    ]
    return ReportExample(
        outcome=row.outcome,
        outcome_label=row.get_outcome_display(),
        prompt=_shortened(_("Prompt %(n)d") % {"n": row.index + 1}, row.prompt),
        answers=shown,
    )


def _answer(candidate: Candidate, answer: Answer | None) -> ExampleText:
    label = label_of(candidate)
    if answer is None:
        return ExampleText(label, "", note=_("No answer"))
    if not answer.text.strip():
        return ExampleText(label, "", note=answer.why or _("It said nothing."))
    return _shortened(label, answer.text, answer.why)


def _shortened(label: str, text: str, note: str = "") -> ExampleText:
    lines = text.strip().splitlines()
    kept = "\n".join(lines[:MAX_LINES])[:MAX_CHARACTERS].rstrip()
    left = len("\n".join(lines)) - len(kept)
    if left <= 0:
        return ExampleText(label, kept, note)
    cut = ngettext("%(n)s more character", "%(n)s more characters", left) % {"n": f"{left:,}"}
    return ExampleText(label, f"{kept} …", note, cut)
