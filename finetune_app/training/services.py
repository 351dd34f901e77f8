"""Start, stop, resume and delete trainings."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.accounts import storage
from finetune_app.accounts.models import User
from finetune_app.basemodels.automatic_settings import FULL, SUPERVISED
from finetune_app.basemodels.estimates import automatic_for, estimate
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE
from finetune_app.jobs.worker_machines import some_have_a_card
from finetune_app.training.lineage import EARLIER_VERSIONS, version_ids
from finetune_app.training.methods import require_method, start_of
from finetune_app.training.models import Training
from finetune_app.training.tunings import default_tuning, require_tuning
from finetune_app.versions.models import Version

DEFAULT_SEED = 17
ADAPTER_SHAPE = ("rank", "alpha", "targets")
CHANGEABLE_SETTINGS = (
    "epochs",
    "batch_size",
    "learning_rate",
    "rank",
    "max_tokens",
    "replay_share",
    "seed",
    "number_format",
    "beta",
)
RATE_FACTOR = "learning_rate_multiplier"  # on the learning rate, automatic or chosen
FOUND_BY = "search"  # number of the search that found the settings
NOTHING_TO_LEARN = gettext_lazy(
    "Version %(v)d holds only questions to test with. Choose training as your method, "
    "add examples to learn from in step 2, and freeze again."
)


def newest_version(goal: Goal) -> Version | None:
    return Version.objects.filter(dataset__goal=goal).order_by("-number").first()


@transaction.atomic
def start(
    *,
    goal: Goal,
    user: User | None,
    chosen: Mapping[str, Any] | None = None,
    method: str = SUPERVISED,
    starts_from: Training | None = None,
) -> Training:
    """Freeze the spec and queue the job. While a training is active, returns that one instead.

    chosen: settings that replace the automatic ones. method: see methods.py. starts_from: a
    training of the chosen base model, perhaps of another goal, whose adapter is trained further;
    None: see methods.start_of. Raises PlainError when an earlier step is missing.
    """
    goal = Goal.objects.lock(goal.pk)
    active = goal.trainings.filter(job__state__in=ACTIVE).first()
    if active:
        return active
    version, choice = require_inputs(goal)
    require_method(method, version, choice.thinking)
    tuning = (chosen or {}).get("tuning")
    storage.require_space(goal.team, choice.base_model.size if tuning == FULL else 0)
    starts_from = starts_from or start_of(goal, choice.base_model, method)
    number = goal.last_training + 1
    Goal.objects.filter(pk=goal.pk).update(last_training=number)
    spec = frozen_spec(goal, version, choice, chosen or {}, method, starts_from)
    expected = estimate(choice.base_model, version, method, spec["tuning"], spec)
    job = jobs.create(
        team=goal.team,
        kind="training",
        title=_("Training %(n)d of “%(goal)s”") % {"n": number, "goal": goal.name[:60]},
        spec={},
        needs_card=some_have_a_card(),
        card_bytes=expected.memory_bytes,
    )
    return Training.objects.create(
        goal=goal,
        number=number,
        version=version,
        base_model=choice.base_model,
        job=job,
        spec=spec,
        estimate=expected.as_json(),
        starts_from=starts_from,
        started_by=user,
    )


def require_version(goal: Goal) -> Version:
    """The newest version. Raises PlainError where there is nothing to learn from."""
    version = newest_version(goal)
    if version is None:
        raise PlainError(
            _("Freeze a version of the dataset first; training reads only that."),
            title=_("Nothing to learn from yet"),
        )
    if not version.counts.get("train"):
        raise PlainError(
            NOTHING_TO_LEARN % {"v": version.number}, title=_("Nothing to learn from yet")
        )
    return version


def require_inputs(goal: Goal) -> tuple[Version, BaseModelChoice]:
    """The newest version and the chosen base model. Raises PlainError when an earlier step is
    missing."""
    version = require_version(goal)
    if not goal.measure:
        raise PlainError(
            _("Decide first how to tell a right answer from a wrong one."),
            title=_("No measure yet"),
        )
    choice = BaseModelChoice.objects.select_related("base_model").filter(goal=goal).first()
    if choice is None:
        raise PlainError(_("Choose a base model first."), title=_("No model to start from yet"))
    return version, choice


def frozen_spec(
    goal: Goal,
    version: Version,
    choice: BaseModelChoice,
    chosen: Mapping[str, Any],
    method: str,
    starts_from: Training | None,
) -> dict[str, Any]:
    """The spec of the child process, except for the paths, which depend on its machine."""
    tuning = chosen.get("tuning") or default_tuning(starts_from)
    require_tuning(tuning, choice.base_model, version, method, starts_from)
    settings = automatic_for(version, choice.base_model, method, tuning).settings | {
        name: chosen[name]
        for name in (*CHANGEABLE_SETTINGS, FOUND_BY)
        if chosen.get(name) not in (None, "")
    }
    settings["learning_rate"] *= chosen.get(RATE_FACTOR, 1)
    settings.setdefault("seed", DEFAULT_SEED)
    if starts_from:  # the same adapter goes on, so it keeps its shape
        settings |= {name: starts_from.spec[name] for name in ADAPTER_SHAPE}
        settings["start_adapter_sha256"] = starts_from.adapter_sha256
        settings[EARLIER_VERSIONS] = sorted(version_ids(starts_from))
    return settings | {
        "method": method,
        "tuning": tuning,
        "thinking": choice.thinking,
        "base_model_sha256": choice.base_model.files.get("model.safetensors", ""),
        "version_sha256": version.sha256,
        "measure": {"kind": goal.measure, "settings": goal.measure_settings},
    }


def stop(*, training: Training) -> bool:
    """Ask it to save a checkpoint and end. False: it is asked already, or has ended."""
    return jobs.ask_stop(training.job)


def resume(*, training: Training) -> None:
    """Continue from the last checkpoint. Raises PlainError when that is not possible."""
    if training.job.state not in CAN_CONTINUE:
        raise PlainError(_("This training is not stopped, so there is nothing to continue."))
    with transaction.atomic():
        Goal.objects.lock(training.goal_id)
        if training.goal.trainings.filter(job__state__in=ACTIVE).exclude(pk=training.pk).exists():
            raise PlainError(_("Another training of this goal is running. Stop it first."))
        jobs.ask_continue(training.job)


@transaction.atomic
def delete(*, training: Training) -> None:
    """Delete it with its curve, checkpoints, adapter and evaluations; a running job is ended.

    Raises PlainError while a training that goes on from it is not over, and while it is live.
    """
    waiting = training.continued_by.filter(job__state__in=(*ACTIVE, *CAN_CONTINUE)).first()
    if waiting:
        raise PlainError(
            _("Training %(n)d goes on from this one and is not over. Delete that one first.")
            % {"n": waiting.number}
        )
    training.delete()
