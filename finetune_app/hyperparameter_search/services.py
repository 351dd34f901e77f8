"""Start, stop and continue a search, and train with the settings that it found."""

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.basemodels.automatic_settings import SUPERVISED
from finetune_app.basemodels.estimates import estimate
from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from finetune_app.hyperparameter_search.models import HyperparameterSearch, Trial
from finetune_app.hyperparameter_search.trials import trials_around
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE
from finetune_app.jobs.worker_machines import some_have_a_card
from finetune_app.training import services as trainings
from finetune_app.training.models import Training

MIN_PRACTICE = 10  # examples: with fewer, two prompts more right are chance


@transaction.atomic
def start(*, goal: Goal, user: User | None) -> HyperparameterSearch:
    """Freeze the trials and queue the job. While a search is active, returns that one instead.

    Raises PlainError when an earlier step is missing, a training is running, or there are too few
    practice examples.
    """
    goal = Goal.objects.lock(goal.pk)
    active = goal.searches.active().first()
    if active:
        return active
    if goal.trainings.filter(job__state__in=ACTIVE).exists():
        raise PlainError(_("A training of this goal is running. Search once it is done."))
    version, choice = trainings.require_inputs(goal)
    if version.counts.get("validation", 0) < MIN_PRACTICE:
        raise PlainError(
            _(
                "Settings are compared on practice examples, and %(n)d are too few to tell them "
                "apart. Move some there in step 2 and freeze again: at least %(least)d."
            )
            % {"n": version.counts.get("validation", 0), "least": MIN_PRACTICE}
        )
    last = goal.searches.first()
    number = last.number + 1 if last else 1
    spec = trainings.frozen_spec(goal, version, choice, {}, SUPERVISED, None)
    expected = estimate(choice.base_model, version, SUPERVISED, spec["tuning"], spec)
    job = jobs.create(
        team=goal.team,
        kind="search",
        title=_("Search for settings %(n)d of “%(goal)s”") % {"n": number, "goal": goal.name[:60]},
        spec={},
        needs_card=some_have_a_card(),
        card_bytes=expected.memory_bytes,
    )
    search = HyperparameterSearch.objects.create(
        goal=goal,
        number=number,
        version=version,
        base_model=choice.base_model,
        job=job,
        spec=spec,
        started_by=user,
    )
    Trial.objects.bulk_create(
        Trial(search=search, number=place, name=name, settings=settings)
        for place, (name, settings) in enumerate(trials_around(spec))
    )
    return search


def stop(*, search: HyperparameterSearch) -> None:
    jobs.ask_stop(search.job)


@transaction.atomic
def resume(*, search: HyperparameterSearch) -> None:
    """Go on after the trials that are done. Raises PlainError when that is not possible."""
    goal = Goal.objects.lock(search.goal_id)
    if search.job.state not in CAN_CONTINUE:
        raise PlainError(_("This search is not stopped, so there is nothing to continue."))
    if goal.trainings.filter(job__state__in=ACTIVE).exists() or goal.searches.active().exists():
        raise PlainError(_("Another training or search of this goal is running. Stop it first."))
    jobs.ask_continue(search.job)


@transaction.atomic
def train_with_winner(*, search: HyperparameterSearch, user: User | None) -> Training:
    """A whole training with the settings that the search found, once.

    Raises PlainError when it has found none, or when another training is running.
    """
    goal = Goal.objects.lock(search.goal_id)
    search.refresh_from_db()
    if search.training:
        return search.training
    if search.winner is None:
        raise PlainError(_("This search has not found any settings yet."))
    if goal.trainings.filter(job__state__in=ACTIVE).exists():
        raise PlainError(_("Another training of this goal is running. Stop it first."))
    settings = search.trials.get(number=search.winner).settings
    search.training = trainings.start(
        goal=goal, user=user, chosen=settings | {trainings.FOUND_BY: search.number}
    )
    search.save(update_fields=["training"])
    return search.training


def train_automatically(search: HyperparameterSearch) -> None:
    """The same when the search ends, if the goal is still as it was; else a button offers it."""
    try:
        version, choice = trainings.require_inputs(search.goal)
    except PlainError:
        return
    if version != search.version or choice.base_model != search.base_model:
        return
    try:
        train_with_winner(search=search, user=search.started_by)
    except PlainError:
        return
