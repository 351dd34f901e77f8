"""The sections of a model card, in Markdown."""

import re
from collections.abc import Iterable

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.core.sizes import size
from finetune_app.core.templatetags.ui import duration
from finetune_app.core.version import program_version
from finetune_app.datasets.models import Import
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.presenters import score_rows
from finetune_app.evaluation.report import facts
from finetune_app.evaluation.report.sections import Fact
from finetune_app.evaluation.safety import safety_notes
from finetune_app.evaluation.trivial_baselines import trivial_rows
from finetune_app.evaluation.verdict import sentences
from finetune_app.evaluation.verdict.types import BETTER_LEVELS
from finetune_app.goals.models import Goal
from finetune_app.judging.report import decides_nothing, opinion_facts
from finetune_app.training.kept_steps import adapter_sha256_of
from finetune_app.training.models import Training
from finetune_app.training.presenters import ended_early, settings_in_words
from finetune_app.versions.models import Version
from finetune_app.versions.reader import source_counts

MARKDOWN_SIGNS = re.compile(r"[\\`*_{}\[\]<>#|~$!&=]")
MAX_FILES = 10  # named in a card


def escaped(text: str) -> str:
    """A text on one line, in which nothing is Markdown or HTML."""
    return MARKDOWN_SIGNS.sub(r"\\\g<0>", " ".join(text.split()))


def purpose(goal: Goal) -> str:
    words = goal.description.strip() or goal.name
    quoted = [f"> {escaped(line)}".rstrip() for line in words.splitlines()]
    return _section(
        _("Intended use"),
        *quoted,
        "",
        _("Tuned and tested for this one task. For anything else, use the base model."),
    )


def tested(evaluation: Evaluation | None) -> str:
    name = _("How it was tested")
    if evaluation is None:
        return _section(name, _("Not tested yet: how well it does is not known."))
    verdict = evaluation.verdict
    level = evaluation.general.get("level")
    said_above = {
        sentences.general_note(level, verdict["level"] in BETTER_LEVELS),
        sentences.looks_note(evaluation.looks, "prompts"),
        *safety_notes(evaluation),
    }
    lines = [
        f"**{escaped(verdict['headline'])}** {escaped(verdict['sentence'])}",
        escaped(verdict["rarity"]),
        "",
        *_bullets(
            [
                Fact(_("What was tested"), facts.what_it_is(evaluation.ours)),
                Fact(_("What counts"), evaluation.get_measure().summary()),
                facts.general_ability(evaluation.general),
                *facts.safety(evaluation),
                facts.looks(evaluation.looks),
                Fact(_("Tested"), facts.day(evaluation.job.ended_at or evaluation.created_at)),
            ]
        ),
        *_second_opinions(evaluation),
        "",
        *_scores(evaluation),
        *(f"- {escaped(note)}" for note in verdict["notes"] if note not in said_above),
    ]
    return _section(name, *lines)


def _second_opinions(evaluation: Evaluation) -> list[str]:
    """What judges said; nothing where none was asked."""
    found = opinion_facts(evaluation)
    return [*_bullets(found), f"  {escaped(decides_nothing())}"] if found else []


def _scores(evaluation: Evaluation) -> list[str]:
    """A table of what answered, with what needs no model; nothing where people decided."""
    rows = score_rows(evaluation)
    if not rows:
        return []
    graded, total = evaluation.get_measure().graded, evaluation.comparisons.count()
    column = _("How close, of 100") if graded else _("Right, of %(n)d") % {"n": total}
    span = _("%(low).0f to %(high).0f")
    cells = [
        [row.label, f"{row.value:.0f}", span % {"low": row.low, "high": row.high}] for row in rows
    ]
    cells += [
        [_("%(name)s (needs no model)") % {"name": row.label}, row.result, ""]
        for row in trivial_rows(evaluation)
    ]
    table = [[_("What answers"), column, _("95 % interval")], ["---", "---", "---"], *cells]
    return [*(f"| {' | '.join(map(_cell, row))} |" for row in table), ""]


def _cell(text: str) -> str:
    return text if text == "---" else escaped(text)


def learned_from(version: Version) -> str:
    found = [*facts.examples(version), Fact(_("Where they come from"), _sources(version))]
    return _section(_("What it learned from"), *_bullets(found))


def _sources(version: Version) -> str:
    """Names of imported files with their rows. Other sources may name people, and stay away."""
    imports = Import.objects.filter(dataset=version.dataset)
    imported = set(imports.values_list("file_name", flat=True))
    counts = source_counts(version)
    files = [(name, count) for name, count in counts.most_common() if name in imported]
    parts = [f"{name} ({count:,})" for name, count in files[:MAX_FILES]]
    more = sum(count for _name, count in files[MAX_FILES:])
    if more:
        parts.append(_("other files (%(n)s)") % {"n": f"{more:,}"})
    rest = counts.total() - sum(count for _name, count in files)
    if rest:
        parts.append(_("added in Finetune (%(n)s)") % {"n": f"{rest:,}"})
    return ", ".join(parts)


def settings_of(training: Training, step: int | None) -> str:
    found = [Fact(name, value) for name, value in settings_in_words(training.spec)]
    return _section(_("How it was trained"), *_bullets([*found, *_compute(training, step)]))


def _compute(training: Training, step: int | None) -> list[Fact]:
    result = training.job.result
    found = []
    if result.get("seconds"):
        tokens = _("%(n)s tokens read") % {"n": f"{result.get('tokens') or 0:,}"}
        found.append(Fact(_("Compute"), duration(result["seconds"]), tokens))
    if training.starts_from:
        start = _("training %(n)d") % {"n": training.starts_from.number}
        if training.starts_from.goal_id != training.goal_id:
            start = _("%(training)s of “%(goal)s”") % {
                "training": start,
                "goal": training.starts_from.goal.name,
            }
        found.append(Fact(_("Goes on from"), start))
    if sentence := ended_early(training):
        found.append(Fact(_("Its end"), sentence))
    if result.get("best_step"):
        kept = _("step %(kept)d of %(all)d")
        best = kept % {"kept": result["best_step"], "all": result["steps"]}
        if step is None:
            found.append(Fact(_("Kept"), best, _("the best on the practice examples")))
        else:
            chosen = kept % {"kept": step, "all": result["steps"]}
            note = _("chosen by a person; the best on the practice examples was %(best)s")
            found.append(Fact(_("Kept"), chosen, note % {"best": best}))
    if result.get("number_format"):
        found.append(Fact(_("Number format"), result["number_format"]))
    if result.get("peak_memory_bytes"):
        found.append(Fact(_("Memory"), size(result["peak_memory_bytes"])))
    if result.get("machine"):
        found.append(Fact(_("Machine"), result["machine"]))
    return found


def limits(evaluation: Evaluation | None) -> str:
    known = facts.limits(evaluation) if evaluation else []
    inherited = _("What its base model gets wrong or should not say, it may as well.")
    return _section(_("Limits"), *(f"- {escaped(one)}" for one in [*known, inherited]))


def origin(training: Training, step: int | None, hub_id: str) -> str:
    base = training.base_model
    licence = base.licence or _("not known here; look it up before you pass this on")
    found = [
        Fact(_("Base model"), f"{base.name} ({hub_id})" if hub_id else base.name),
        Fact(_("Its revision"), base.revision),
        Fact(_("Licence of the base model"), licence),
        facts.weights_fact(training, adapter_sha256_of(training, step)),
        Fact(_("Examples, sha256"), training.version.sha256),
    ]
    made = _("Written by Finetune %(version)s on %(date)s.") % {
        "version": program_version(),
        "date": facts.day(timezone.now()),
    }
    lines = _bullets(one for one in found if one.value)
    return _section(_("Where it comes from"), *lines, "", escaped(made))


def _section(name: str, *lines: str) -> str:
    return "\n".join([f"\n## {name}\n", *lines])


def _bullets(found: Iterable[Fact]) -> list[str]:
    return [
        f"- {escaped(one.name)}: {escaped(' '.join(filter(None, [_sentence(one), one.note])))}"
        for one in found
    ]


def _sentence(fact: Fact) -> str:
    """The value, ended where a note follows."""
    return f"{fact.value}." if fact.note and not fact.value.endswith(".") else fact.value
