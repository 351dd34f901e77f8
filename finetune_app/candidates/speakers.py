"""Who can be talked to: everything of a goal that answers, from the least to the most work.

A speaker is only a name until it is asked: `make` then gives its candidate.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates import services
from finetune_app.candidates.drafts import first_model
from finetune_app.candidates.models import Candidate, CandidateKind
from finetune_app.goals.models import Goal
from finetune_app.knowledge.models import Knowledge
from finetune_app.training.models import Training

MOST = 10  # of a kind, the newest first


@dataclass(frozen=True)
class Speaker:
    """`key` stands in addresses; `label` is its name, `detail` the model behind it."""

    key: str
    kind: str  # a CandidateKind
    label: str
    detail: str
    make: Callable[[], Candidate]


@dataclass(frozen=True)
class Voice:
    """A speaker in a conversation. `lane` is what its answers are called on the way, `mark` its
    letter while the names are hidden. `ours`: what was made here, not what it was made from."""

    lane: str
    speaker: Speaker
    mark: str
    ours: bool


def available(goal: Goal) -> list[Speaker]:
    """Everybody, each key once."""
    trained = list(_trained(goal)[:MOST])
    kept = list(_kept(goal)[:MOST])
    base = first_model(goal)
    bases = {one.pk: one for one in [base, *(t.base_model for t in trained)] if one}
    bases |= {one.base_model.pk: one.base_model for one in kept if one.base_model}
    return [
        *(_base(goal, one) for one in bases.values()),
        *(_as_kept(one) for one in kept),
        *_with_documents(goal, base, trained),
        *(_tuned(one) for one in trained),
        *_elsewhere(goal),
    ]


def chosen(
    goal: Goal,
    everybody: Sequence[Speaker],
    a: str = "",
    b: str = "",
    training: int | None = None,
) -> list[Speaker]:
    """One or two of them: those named; else base and what was made last.

    A named training that is not there leaves nobody: what was asked for cannot be shown.
    """
    known = {one.key: one for one in everybody}
    if training is not None:
        one = _trained(goal).filter(number=training).first()
        return [_base(goal, one.base_model), _tuned(one)] if one else []
    if named := [known[key] for key in (a, b) if key in known]:
        return named[:1] if a == b else named
    return _by_themselves(goal, everybody)


def _by_themselves(goal: Goal, everybody: Sequence[Speaker]) -> list[Speaker]:
    if trained := _trained(goal).first():
        return [_base(goal, trained.base_model), _tuned(trained)]
    made = [one for one in everybody if one.key.startswith("kept-")]
    made += [one for one in everybody if one.kind == CandidateKind.RAG]
    base = [one for one in everybody if one.kind == CandidateKind.BASE]
    elsewhere = [one for one in everybody if one.key.startswith("endpoint-")]
    return [*base[:1], *made[:1]] or elsewhere[:1]


def voices(speakers: Sequence[Speaker], seed: str = "") -> list[Voice]:
    """In the order of the page; with a seed they may have changed sides."""
    found: list[Voice] = []
    for one in _shuffled(list(speakers), seed):
        plain = {CandidateKind.BASE: "base", CandidateKind.TUNED: "tuned"}.get(
            CandidateKind(one.kind), one.key
        )
        lane = one.key if any(v.lane == plain for v in found) else plain
        ours = one == speakers[-1] and (len(speakers) > 1 or one.kind != CandidateKind.BASE)
        found.append(Voice(lane, one, "AB"[len(found)], ours))
    return found


def new_seed() -> str:
    return secrets.token_hex(4)


def _shuffled(speakers: list[Speaker], seed: str) -> list[Speaker]:
    """Which side is which follows from the seed and cannot be read off it."""
    turn = bool(seed) and hashlib.sha256(seed.encode()).digest()[0] % 2
    return speakers[::-1] if turn else speakers


# ---- One kind each ----


def _trained(goal: Goal) -> QuerySet[Training]:
    """Trainings that can answer, the newest first."""
    return goal.trainings.exclude(adapter_sha256="").select_related("base_model", "goal")


def _kept(goal: Goal) -> QuerySet[Candidate]:
    kept = goal.candidates.filter(saved=True).exclude(
        kind__in=[CandidateKind.BASE, CandidateKind.TUNED]
    )
    return kept.select_related(
        "base_model", "endpoint", "knowledge", "training__base_model", "goal"
    ).order_by("-pk")


def _base(goal: Goal, model: BaseModel) -> Speaker:
    return Speaker(
        f"base-{model.pk}",
        CandidateKind.BASE,
        _("Base"),
        model.name,
        partial(services.base_candidate, goal=goal, base_model=model),
    )


def _tuned(training: Training) -> Speaker:
    return Speaker(
        f"training-{training.number}",
        CandidateKind.TUNED,
        _("Tuned"),
        _("%(model)s after training %(n)d")
        % {"model": training.base_model.name, "n": training.number},
        partial(services.tuned_candidate, training=training),
    )


def _as_kept(candidate: Candidate) -> Speaker:
    return Speaker(
        f"kept-{candidate.pk}",
        candidate.kind,
        candidate.name,
        candidate.model_name,
        lambda: candidate,
    )


def _with_documents(
    goal: Goal, base: BaseModel | None, trained: Sequence[Training]
) -> list[Speaker]:
    knowledge = Knowledge.objects.filter(goal=goal).first()
    if knowledge is None or not knowledge.is_searchable:
        return []
    found = []
    if base:
        found.append(
            Speaker(
                "documents",
                CandidateKind.RAG,
                _("With documents"),
                base.name,
                partial(services.rag_candidate, goal=goal, base_model=base),
            )
        )
    if trained:
        found.append(
            Speaker(
                "documents-tuned",
                CandidateKind.COMBINED,
                _("Tuned, with documents"),
                _("training %(n)d") % {"n": trained[0].number},
                partial(services.rag_candidate, goal=goal, training=trained[0]),
            )
        )
    return found


def _elsewhere(goal: Goal) -> list[Speaker]:
    """Models elsewhere as they are; with instructions they are among the kept ones."""
    return [
        Speaker(
            f"endpoint-{one.pk}",
            CandidateKind.PROMPT,
            one.name,
            one.model,
            partial(services.prompt_candidate, goal=goal, endpoint=one, instructions="", shots=[]),
        )
        for one in goal.team.endpoints.all()
    ]
