"""The candidates of a goal that can be chosen, from the least effort to the most."""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from django.db.models import Min, QuerySet
from django.utils.translation import gettext as _

from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from finetune_app.candidates import services
from finetune_app.candidates.drafts import chosen_base_model, default_base_model
from finetune_app.candidates.models import Candidate, CandidateKind
from finetune_app.core.thinking import NO
from finetune_app.goals.models import Goal
from finetune_app.knowledge.models import Knowledge
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.training.models import Training

MAX_OPTIONS_PER_KIND = 10  # the newest


@dataclass(frozen=True)
class CandidateOption:
    """A candidate that can be chosen. It is created in the database only by `get_candidate`.

    `key` is used in URLs and forms; `detail` names the model behind `label`. `create` need not
    know in which number format it was tested.
    """

    key: str
    kind: str  # a CandidateKind
    label: str
    detail: str
    create: Callable[[], Candidate]
    base_key: str = ""  # of a training: the key of what it was trained from
    is_remote: bool = False  # prompts leave this machine

    def get_candidate(self) -> Candidate:
        return services.as_tested(self.create())


@dataclass(frozen=True)
class ChatColumn:
    """A candidate on the chat page.

    `name` identifies its answers in the event stream, `letter` replaces the label while names are
    hidden, and `is_ours` is false for the model that it is compared with.
    """

    name: str
    option: CandidateOption
    letter: str
    is_ours: bool


def candidate_options(goal: Goal) -> list[CandidateOption]:
    """All candidates of the goal; every key is unique."""
    trained = list(_finished_trainings(goal)[:MAX_OPTIONS_PER_KIND])
    saved = list(_saved_candidates(goal)[:MAX_OPTIONS_PER_KIND])
    chosen = chosen_base_model(goal)
    default = default_base_model(goal, chosen)
    bases = {one.pk: one for one in [default, *(t.base_model for t in trained)] if one}
    bases |= {one.base_model.pk: one.base_model for one in saved if one.base_model}
    return [
        *(_base_option(goal, one, chosen) for one in bases.values()),
        *(_saved_option(one) for one in saved),
        *_document_options(goal, default, trained),
        *(_tuned_option(one) for one in trained),
        *(_step_option(one) for one in _chosen_steps(goal)[:MAX_OPTIONS_PER_KIND]),
        *(_remotely_tuned_option(one) for one in remotely_trained(goal)[:MAX_OPTIONS_PER_KIND]),
        *_endpoint_options(goal),
    ]


def option_by_key(goal: Goal, key: str) -> CandidateOption | None:
    return next((one for one in candidate_options(goal) if one.key == key), None)


def selected_options(
    goal: Goal,
    options: Sequence[CandidateOption],
    a: str = "",
    b: str = "",
    training: int | None = None,
) -> list[CandidateOption]:
    """The one or two options named by key; by default the base model and the newest candidate.

    Empty when `training` names a training that cannot answer.
    """
    known = {one.key: one for one in options}
    if training is not None:
        one = _finished_trainings(goal).filter(number=training).first()
        return _base_and_tuned(goal, one) if one else []
    if named := [known[key] for key in (a, b) if key in known]:
        return named[:1] if a == b else named
    return _default_options(options)


def _default_options(options: Sequence[CandidateOption]) -> list[CandidateOption]:
    if newest := next((one for one in options if one.base_key), None):
        return [*(one for one in options if one.key == newest.base_key), newest]
    made = [one for one in options if one.key.startswith("remote-")]
    made += [one for one in options if one.key.startswith("kept-")]
    made += [one for one in options if one.kind == CandidateKind.RAG]
    base = [one for one in options if one.kind == CandidateKind.BASE]
    remote = [one for one in options if one.key.startswith("endpoint-")]
    return [*base[:1], *made[:1]] or remote[:1]


def _base_and_tuned(goal: Goal, training: Training) -> list[CandidateOption]:
    base = _base_option(goal, training.base_model, chosen_base_model(goal))
    return [base, _tuned_option(training)]


def chat_columns(options: Sequence[CandidateOption], seed: str = "") -> list[ChatColumn]:
    """One column for each option; a seed puts them in a random order."""
    columns: list[ChatColumn] = []
    for one in _shuffled(list(options), seed):
        short = {CandidateKind.BASE: "base", CandidateKind.TUNED: "tuned"}.get(
            CandidateKind(one.kind), one.key
        )
        name = one.key if any(column.name == short for column in columns) else short
        is_ours = one == options[-1] and (len(options) > 1 or one.kind != CandidateKind.BASE)
        columns.append(ChatColumn(name, one, "AB"[len(columns)], is_ours))
    return columns


def new_seed() -> str:
    return secrets.token_hex(4)


def _shuffled(options: list[CandidateOption], seed: str) -> list[CandidateOption]:
    """Uses a hash, so that the seed in the URL does not reveal the order."""
    is_reversed = bool(seed) and hashlib.sha256(seed.encode()).digest()[0] % 2
    return options[::-1] if is_reversed else options


# ---- The options of each kind ----


def _finished_trainings(goal: Goal) -> QuerySet[Training]:
    """Trainings that have an adapter, the newest first."""
    return goal.trainings.with_adapter().select_related("base_model")


def _saved_candidates(goal: Goal) -> QuerySet[Candidate]:
    saved = goal.candidates.filter(saved=True).exclude(
        kind__in=[CandidateKind.BASE, CandidateKind.TUNED]
    )
    related = ("base_model", "endpoint", "knowledge", "training__base_model")
    return saved.select_related(*related).order_by("-pk")


def with_thinking(model: str, thinking: str) -> str:
    """The name of a model, and whether it thinks before it answers."""
    return model if thinking == NO else _("%(model)s, thinks first") % {"model": model}


def _base_option(goal: Goal, model: BaseModel, chosen: BaseModelChoice | None) -> CandidateOption:
    thinks = chosen.thinking if chosen and chosen.base_model == model else NO
    return CandidateOption(
        f"base-{model.pk}",
        CandidateKind.BASE,
        _("Base"),
        with_thinking(model.name, thinks),
        partial(services.base_candidate, goal=goal, base_model=model),
    )


def _tuned_option(training: Training) -> CandidateOption:
    return CandidateOption(
        f"training-{training.number}",
        CandidateKind.TUNED,
        _("Tuned"),
        with_thinking(
            _("%(model)s after training %(n)d")
            % {"model": training.base_model.name, "n": training.number},
            training.thinking,
        ),
        partial(services.tuned_candidate, training=training),
        f"base-{training.base_model_id}",
    )


def remotely_trained(goal: Goal) -> QuerySet[RemoteTraining]:
    """Trainings on platforms that have made a model, the newest first."""
    done = goal.remote_trainings.filter(endpoint__isnull=False)
    return done.select_related("account", "endpoint")


def _remotely_tuned_option(training: RemoteTraining) -> CandidateOption:
    return CandidateOption(
        f"remote-{training.number}",
        CandidateKind.TUNED,
        _("Tuned"),
        _("%(model)s after training %(n)d on %(account)s")
        % {
            "model": training.spec["model"],
            "n": training.number,
            "account": training.account.name,
        },
        partial(services.remotely_tuned_candidate, training=training),
        is_remote=True,
    )


def _chosen_steps(goal: Goal) -> QuerySet[Candidate]:
    """Kept steps that somebody has chosen to test, the newest first; one that was tested in two
    number formats once."""
    chosen = goal.candidates.filter(kind=CandidateKind.TUNED).exclude(step=None)
    once = chosen.order_by().values("training", "step").annotate(Min("pk")).values("pk__min")
    chosen = chosen.filter(pk__in=once)
    return chosen.select_related("training__base_model", "base_model").order_by("-pk")


def _step_option(candidate: Candidate) -> CandidateOption:
    return CandidateOption(
        f"step-{candidate.pk}",
        CandidateKind.TUNED,
        _("Tuned"),
        _("%(model)s after %(training)s")
        % {"model": candidate.model_name, "training": candidate.training_name},
        lambda: candidate,
    )


def _saved_option(candidate: Candidate) -> CandidateOption:
    return CandidateOption(
        f"kept-{candidate.pk}",
        candidate.kind,
        candidate.name,
        with_thinking(candidate.model_name, candidate.thinking),
        lambda: candidate,
        is_remote=candidate.endpoint_id is not None,
    )


def _document_options(
    goal: Goal, base: BaseModel | None, trained: Sequence[Training]
) -> list[CandidateOption]:
    knowledge = Knowledge.objects.filter(goal=goal).first()
    if knowledge is None or not knowledge.is_searchable:
        return []
    options = []
    if base:
        options.append(
            CandidateOption(
                "documents",
                CandidateKind.RAG,
                _("With documents"),
                base.name,
                partial(services.rag_candidate, goal=goal, base_model=base),
            )
        )
    if trained:
        options.append(
            CandidateOption(
                "documents-tuned",
                CandidateKind.COMBINED,
                _("Tuned, with documents"),
                _("training %(n)d") % {"n": trained[0].number},
                partial(services.rag_candidate, goal=goal, training=trained[0]),
            )
        )
    return options


def _endpoint_options(goal: Goal) -> list[CandidateOption]:
    """Remote models without instructions; those with instructions are saved candidates."""
    return [
        CandidateOption(
            f"endpoint-{one.pk}",
            CandidateKind.PROMPT,
            one.name,
            one.model,
            partial(services.prompt_candidate, goal=goal, endpoint=one, instructions="", shots=[]),
            is_remote=True,
        )
        for one in goal.team.endpoints.exclude(trained_by__isnull=False)
    ]
