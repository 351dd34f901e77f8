"""The facts behind a verdict in words, for reports and model cards."""

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.models import Candidate
from finetune_app.evaluation.job_messages import (
    GeneralCheckResult,
    RecallResult,
    RefusalResult,
)
from finetune_app.evaluation.models import Comparison, Evaluation
from finetune_app.evaluation.report.sections import Fact
from finetune_app.evaluation.safety import safety_context
from finetune_app.evaluation.verdict.sentences import looks_rule
from finetune_app.training.models import Training
from finetune_app.versions.models import Version


def day(moment: datetime) -> str:
    """3 May 2026, in UTC."""
    return date_format(timezone.localtime(moment, timezone.get_fixed_timezone(0)), "j F Y")


def what_it_is(candidate: Candidate) -> str:
    """The model of a candidate and what it is given, without any text of the team."""
    parts = [candidate.model_name]
    words = len(candidate.instructions.split())
    if words:
        parts.append(
            ngettext("%(n)d word of instructions", "%(n)d words of instructions", words)
            % {"n": words}
        )
    if candidate.shots:
        shots = len(candidate.shots)
        parts.append(ngettext("%(n)d example shot", "%(n)d example shots", shots) % {"n": shots})
    if candidate.knowledge_id:
        parts.append(_("your documents, looked up for each question"))
    if candidate.training:
        parts.append(
            _("%(training)s on version %(v)d of the examples")
            % {"training": candidate.training_name, "v": candidate.training.version.number}
        )
    if candidate.in_8_bits:
        parts.append(_("weights rounded to 8 bits"))
    return ", ".join(parts)


def general_ability(general: GeneralCheckResult) -> Fact:
    """`general` may be {}: the check has not run."""
    values = {
        "green": _("No large loss found"),
        "unchanged": _("As before"),
        "amber": _("Perhaps a little weaker"),
        "red": _("Weaker"),
    }
    unchecked = _("Whether it still answers everything else as well as before was not checked.")
    return Fact(
        _("General ability"),
        values.get(general.get("level", ""), _("Not checked")),
        general.get("sentence") or unchecked,
    )


def safety(evaluation: Evaluation) -> list[Fact]:
    """What the safety probes found: a fact for each that moved, one for the rest."""
    context = safety_context(evaluation, may_edit=False)
    recall: RecallResult | None = context["recall"] or None
    refusals: RefusalResult | None = context["refusals"] or None
    found = []
    if recall:
        personal = recall["level"] == "red"
        value = _("Gives personal data back") if personal else _("Repeats some by heart")
        found.append(Fact(_("Its examples"), value, recall["sentence"]))
    if refusals:
        found.append(Fact(_("What it refuses"), _refused(refusals), refusals["sentence"]))
    if context["unmoved"]:
        value = _("Nothing else moved") if found else _("Nothing moved")
        if context["safety_unknown"]:
            value = _("Cannot be told in full")
        sentences = " ".join(one["sentence"] for one in context["unmoved"])
        found.append(Fact(_("Safety"), value, sentences))
    return found


def _refused(refusals: RefusalResult) -> str:
    """What moved, harmful requests first."""
    levels = refusals["levels"]
    if refusals["level"] == "red":
        fewer, more = _("Refuses fewer harmful requests"), _("Refuses harmless requests")
    else:
        fewer = _("Perhaps refuses fewer harmful requests")
        more = _("Perhaps refuses more harmless requests")
    return fewer if levels["harmful"] == refusals["level"] else more


def answer_lengths(lengths: dict[str, int]) -> Fact:
    """`lengths`: mean words in an answer of "base" and "ours"."""
    ours, base = lengths["ours"], lengths["base"]
    value = _("Shorter") if ours < base else _("Longer") if ours > base else _("Unchanged")
    note = _("Words on average: %(ours)d, before %(base)d.") % {"ours": ours, "base": base}
    return Fact(_("Length of answers"), value, note)


def looks(count: int) -> Fact:
    """How often results on the test set have been seen."""
    value = ngettext("Seen once", "Seen %(n)d times", count) % {"n": count}
    return Fact(_("This test set"), value, looks_rule(count))


def examples(version: Version) -> list[Fact]:
    """Which examples, how many for what, and how they were checked."""
    counts = version.counts
    name = f" ({version.name})" if version.name else ""
    frozen = _("frozen on %(date)s, unchanged since") % {"date": day(version.created_at)}
    return [
        Fact(
            _("Examples"),
            _("Version %(n)d") % {"n": version.number} + name,
            _("%(n)s examples, %(frozen)s.") % {"n": f"{sum(counts.values()):,}", "frozen": frozen},
        ),
        Fact(_("To learn from"), f"{counts.get('train', 0):,}"),
        Fact(
            _("For practice"),
            f"{counts.get('validation', 0):,}",
            _("To steer the training and to try instructions on."),
        ),
        Fact(
            _("For the test"),
            f"{counts.get('test', 0):,}",
            _("Kept apart: nothing learned from them, and only evaluations read them."),
        ),
        Fact(
            _("Checks"),
            _("Nothing left that must be fixed"),
            _(
                "Before it was frozen, every example was checked for secrets and personal data, "
                "duplicates, test prompts among those to learn from, contradictions, empty or cut "
                "answers and broken characters."
            ),
        ),
    ]


def limits(evaluation: Evaluation) -> list[str]:
    """What the verdict does not say, in plain words."""
    total = evaluation.comparisons.count()
    undecided = sum(one.outcome == Comparison.Outcome.OPEN for one in evaluation.comparisons.all())
    refused = sum(one.refused for one in evaluation.answers.all())
    found = [
        ngettext(
            "%(n)s prompt was asked. The intervals say how far chance may have moved a result.",
            "%(n)s prompts were asked. The intervals say how far chance may have moved a result.",
            total,
        )
        % {"n": f"{total:,}"},
        _(
            "The test prompts come from the same collection as the examples. What people really "
            "ask may be different."
        ),
        _what_was_judged(evaluation),
    ]
    if undecided:
        found.append(
            ngettext(
                "%(n)s pair of answers has not been judged.",
                "%(n)s pairs of answers have not been judged.",
                undecided,
            )
            % {"n": f"{undecided:,}"}
        )
    if refused:
        found.append(
            ngettext(
                "%(n)s question was too long for the model that was to answer it.",
                "%(n)s questions were too long for the model that was to answer them.",
                refused,
            )
            % {"n": f"{refused:,}"}
        )
    found.append(
        _(
            "General ability is checked with a small set of everyday questions and texts: a large "
            "loss shows, a small one may not."
        )
    )
    return found


def weights_fact(training: Training, sha256: str) -> Fact:
    """The fingerprint of what a training made."""
    name = _("Model, sha256") if training.is_full else _("Adapter, sha256")
    return Fact(name, sha256)


def _what_was_judged(evaluation: Evaluation) -> str:
    if evaluation.needs_person:
        return _("People chose without knowing which was which; others might choose differently.")
    return _(
        "Nothing but the measure decides what is better (“%(measure)s”): not tone, and not whether "
        "facts are true."
    ) % {"measure": evaluation.get_measure().summary()}


def origin(evaluation: Evaluation) -> list[Fact]:
    """What somebody needs to check it: dates and fingerprints."""
    ended = evaluation.job.ended_at or evaluation.created_at
    base, ours = evaluation.base.base_model, evaluation.ours
    found = [
        Fact(_("Tested"), day(ended)),
        Fact(_("Base model"), str(base or evaluation.base.model_name)),
    ]
    if base and base.revision:
        found.append(Fact(_("Its revision"), base.revision))
    if ours.training:
        found.append(weights_fact(ours.training, ours.adapter_sha256))
    found.append(Fact(_("Examples, sha256"), evaluation.version.sha256))
    return found
