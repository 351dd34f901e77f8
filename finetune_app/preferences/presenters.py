"""Context of the pages on which people choose between answers."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import User
from finetune_app.candidates import selection
from finetune_app.candidates.selection import CandidateOption
from finetune_app.core import charts
from finetune_app.datasets.models import PAIR, Example, ExampleQuerySet, Split, Status
from finetune_app.datasets.services import dataset_of
from finetune_app.evaluation.presenters import job_headline
from finetune_app.goals.models import Goal
from finetune_app.goals.presenters import PresentedAnswer, present_answer
from finetune_app.jobs.models import State
from finetune_app.preferences import choices, prompts, runs
from finetune_app.preferences.models import UNUSABLE, AnswerPair, PreferenceRun
from finetune_app.training.methods import MIN_PAIRS

MAX_LARGE_PROMPT_CHARS = 280  # a longer prompt is set in the normal text size
GOOD_START = 60  # pairs to learn from


@dataclass(frozen=True)
class RunCounts:
    """Prompts of a run by state. `total`: those that people can choose on, now or later."""

    total: int
    ready: int
    waiting: int
    decided: int
    same: int
    no_answer: int
    gone: int


@dataclass(frozen=True)
class PairCounts:
    """Training pairs: to learn from, to practise on."""

    train: int
    validation: int

    @property
    def all(self) -> int:
        return self.train + self.validation


def counts_of(run: PreferenceRun) -> RunCounts:
    states = Counter(run.answer_pairs.values_list("state", flat=True))
    return RunCounts(
        total=states.total() - sum(states[state] for state in UNUSABLE),
        ready=states[AnswerPair.State.READY],
        waiting=states[AnswerPair.State.WAITING],
        decided=states[AnswerPair.State.CHOSEN] + states[AnswerPair.State.NEITHER],
        same=states[AnswerPair.State.SAME],
        no_answer=states[AnswerPair.State.NO_ANSWER],
        gone=states[AnswerPair.State.GONE],
    )


def pairs_of(goal: Goal) -> PairCounts:
    """All usable training pairs of the goal's dataset, imported ones included."""
    return _count(dataset_of(goal).examples.kept())


def pairs_by_choice(goal: Goal) -> PairCounts:
    """Those that people made by choosing, and that are still there."""
    made = AnswerPair.objects.filter(run__goal=goal).exclude(made=None).values("made")
    return _count(Example.objects.kept().filter(pk__in=made))


def _count(kept: ExampleQuerySet) -> PairCounts:
    # All pairs have an index. With the status asked for, all approved rows would be read.
    pairs = kept.filter(PAIR).order_by().values_list("split", "status")
    splits = Counter(split for split, status in pairs if status == Status.APPROVED)
    return PairCounts(splits[Split.TRAIN], splits[Split.VALIDATION])


def page_context(goal: Goal) -> dict[str, Any]:
    """Context of the page that starts a run and shows its progress."""
    run = runs.newest_run(goal)
    options = selection.candidate_options(goal)
    default = default_key(options)
    job = run.job if run else None
    return {
        "goal": goal,
        "run": run,
        "job": job,
        "options": sorted(options, key=lambda one: one.key != default),
        "chosen": default,
        "remote": [one for one in options if one.key.startswith("endpoint-")],
        "amounts": runs.PROMPT_COUNTS,
        "amount": runs.DEFAULT_COUNT,
        # While one runs, nobody starts another, and the page asks every two seconds.
        "has_prompts": not (job and job.is_active) and prompts.any_row(dataset_of(goal)),
        "pairs": pairs_of(goal),
        "begin": MIN_PAIRS,
        "good": GOOD_START,
        **(_run_context(run) if run else {}),
    }


def default_key(options: list[CandidateOption]) -> str:
    """The newest tuned model, else the base model; both on this machine."""
    for start in ("training-", "base-"):
        for one in options:
            if one.key.startswith(start):
                return one.key
    return options[0].key if options else ""


def _run_context(run: PreferenceRun) -> dict[str, Any]:
    job, counts = run.job, counts_of(run)
    done = counts.total - counts.waiting
    facts = [_("%(done)d of %(total)d prompts answered") % {"done": done, "total": counts.total}]
    headline = job_headline(job)
    if job.state == State.SUCCEEDED:
        headline = _("The answers are in")
    return {
        "counts": counts,
        # The buttons change with the state, and once there is something to choose on.
        "seen_now": f"{job.state}-{'some' if counts.ready else 'none'}",
        "headline": headline,
        "facts": facts,
        "bar": charts.bar(done, counts.total),
        "left_out": left_out_sentences(counts),
    }


def left_out_sentences(counts: RunCounts) -> list[str]:
    """Which prompts nobody can choose on, and why."""
    found = []
    if counts.same:
        found.append(
            ngettext(
                "On %(n)d prompt it gave the same answer again and again, so there is nothing to "
                "choose.",
                "On %(n)d prompts it gave the same answer again and again, so there is nothing to "
                "choose.",
                counts.same,
            )
            % {"n": counts.same}
        )
    if counts.no_answer:
        found.append(
            ngettext(
                "On %(n)d prompt there are no two whole answers: the prompt or the answers were "
                "too long.",
                "On %(n)d prompts there are no two whole answers: the prompt or the answers were "
                "too long.",
                counts.no_answer,
            )
            % {"n": counts.no_answer}
        )
    if counts.gone:
        found.append(
            ngettext(
                "%(n)d prompt was changed, or is kept back for the test now.",
                "%(n)d prompts were changed, or are kept back for the test now.",
                counts.gone,
            )
            % {"n": counts.gone}
        )
    return found


def progress_context(run: PreferenceRun, user: User) -> dict[str, Any]:
    """How far everybody is together, and whether this person has something to undo."""
    counts = counts_of(run)
    return {
        "goal": run.goal,
        "run": run,
        "job": run.job,
        "counts": counts,
        "place": min(counts.decided + 1, max(counts.total, 1)),
        "bar": charts.thin_bar(counts.decided, max(counts.total, 1)),
        "more_may_come": run.job.is_active or bool(counts.ready),
        "undoable": choices.last_choice(run, user) is not None,
    }


def pair_context(pair: AnswerPair) -> dict[str, Any]:
    """The conversation, and the two answers without saying which was drawn first."""
    before = list(pair.example.messages)
    if before and before[-1]["role"] == "assistant":
        before = before[:-1]
    prompt = before[-1]["content"] if before else ""
    return {
        "pair": pair,
        "before": before[:-1],
        "prompt": prompt,
        "large": len(prompt) <= MAX_LARGE_PROMPT_CHARS,
        "answers": [
            {"side": side, "letter": side.upper(), "key": key, "shown": shown(pair.sides[side])}
            for side, key in zip(choices.SIDES, ("1 ←", "2 →"), strict=True)
        ],
    }


def shown(text: str) -> PresentedAnswer:
    return present_answer(text)


def write_context(side: str, text: str) -> dict[str, Any]:
    return {
        "side": side,
        "letter": side.upper(),
        "text": text,
        "lines": min(max(5, len(text) // 60 + text.count("\n") + 2), 20),
    }


def end_context(run: PreferenceRun) -> dict[str, Any]:
    """What follows when there is nothing to choose on now."""
    pairs = pairs_of(run.goal)
    return {
        "dataset": dataset_of(run.goal),
        "chosen": pairs_by_choice(run.goal),
        "left_out": left_out_sentences(counts_of(run)),
        "headline": job_headline(run.job),
        "facts": [],
        "missing": max(MIN_PAIRS - pairs.train, 0),
        "begin": MIN_PAIRS,
        "good": GOOD_START,
        "training_url": training_url(run.goal),
    }


def training_url(goal: Goal) -> str:
    """The launch page of a training on pairs."""
    return reverse("training:page", args=[goal.pk]) + "?new&method=dpo"
