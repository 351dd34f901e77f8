"""Start and continue trainings on Hugging Face Jobs; remote_training stops and deletes them."""

from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.basemodels.automatic_settings import FULL, SUPERVISED
from finetune_app.basemodels.models import BaseModelChoice, HubToken
from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from finetune_app.hub_training.account import require_affordable
from finetune_app.hub_training.container import default_image
from finetune_app.hub_training.hardware import Machine
from finetune_app.hub_training.models import HubTraining
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE
from finetune_app.remote_training.spending import AnotherQuote, require_nothing_since
from finetune_app.training.services import frozen_spec, require_inputs

MAX_HOURS = 48


@dataclass(frozen=True)
class Quote:
    """The most that it costs: every minute until the hub ends it. In dollars."""

    version: int
    base: str  # slug of the base model, whose weights may be sent
    machine: Machine
    hours: int

    @property
    def cost(self) -> Decimal:
        return (self.machine.price * 60 * self.hours).quantize(Decimal("0.0001"))

    @property
    def agreement(self) -> str:
        """What the form carries, to tell whether it is still what was shown."""
        return f"{self.version}, {self.base}, {self.machine.flavor}, {self.hours}, {self.cost}"


def require_hub_token(goal: Goal) -> HubToken:
    """Raises PlainError where the team has none that may write."""
    token = HubToken.objects.filter(team=goal.team).first()
    if token is None or not token.account or token.role == "read":
        raise PlainError(
            _(
                "Training on the hub needs an access token with the role “write”. An owner saves "
                "one in step 3."
            ),
            status=409,
            title=_("No account on the hub yet"),
        )
    return token


def require_trainable(goal: Goal) -> BaseModelChoice:
    """The chosen base model. Raises PlainError where an earlier step is missing."""
    _version, choice = require_inputs(goal)
    if not choice.base_model.is_here:
        raise PlainError(_("The base model's files are not here any more. Install it again."))
    return choice


@transaction.atomic
def start(
    *,
    goal: Goal,
    user: User | None,
    namespace: str,
    machine: Machine,
    hours: int,
    agreed: str | None = None,
    after: int | None = None,
) -> HubTraining:
    """Freeze what it is to be and queue the job. While one of the goal runs there, returns that.

    agreed: the agreement that was shown, after: the number of the goal's last training then. Raises
    PlainError, also above the team's cap, and AnotherQuote where what was agreed to has changed.
    """
    goal = Goal.objects.lock(goal.pk)
    active = goal.hub_trainings.filter(job__state__in=ACTIVE).first()
    if active:
        return active
    token = require_hub_token(goal)
    if namespace not in token.namespaces:
        raise PlainError(_("Choose an account that your team's token belongs to."))
    version, choice = require_inputs(goal)
    require_trainable(goal)
    quote = Quote(version.number, choice.base_model.slug, machine, hours)
    if agreed is not None and agreed != quote.agreement:
        raise AnotherQuote(
            _("What is sent or what it costs has changed. Read it again, then agree to that."),
            status=422,
        )
    require_nothing_since(goal, after)
    spec = frozen_spec(goal, version, choice, {}, SUPERVISED, None)
    if spec["tuning"] == FULL:
        raise PlainError(_("Only adapters are trained on the hub."))
    require_affordable(goal.team, quote.cost)
    number = goal.last_training + 1
    Goal.objects.filter(pk=goal.pk).update(last_training=number)
    job = jobs.create(
        team=goal.team,
        kind="hub_train",
        title=_("Training %(n)d of “%(goal)s”") % {"n": number, "goal": goal.name[:60]},
        spec={},
    )
    return HubTraining.objects.create(
        goal=goal,
        number=number,
        version=version,
        base_model=choice.base_model,
        job=job,
        spec=spec,
        namespace=namespace,
        flavor=machine.flavor,
        image=default_image(),
        timeout_seconds=hours * 3600,
        price=machine.price,
        expected_cost=quote.cost,
        agreed_by=user,
    )


def can_go_on(training: HubTraining) -> bool:
    """Whether Continue helps: not where it has failed there for good."""
    has_failed = training.has_ended_there and training.stage != "COMPLETED"
    return training.job.state in CAN_CONTINUE and not has_failed


@transaction.atomic
def resume(*, training: HubTraining) -> None:
    """Go on where it was interrupted. Raises PlainError where it was not, while another one of the
    goal runs there (nobody pays two at once), and where it would start above the cap."""
    goal = Goal.objects.lock(training.goal_id)
    if not can_go_on(training):
        raise PlainError(_("There is nothing to continue. Start another training."))
    others = goal.hub_trainings.filter(job__state__in=ACTIVE).exclude(pk=training.pk)
    if other := others.first():
        raise PlainError(
            _("Training %(n)d of this goal runs there. Wait until it is over, or cancel it.")
            % {"n": other.number},
            status=409,
        )
    if training.start_tried_at is None:
        require_affordable(goal.team, training.expected_cost, training)
    HubTraining.objects.filter(pk=training.pk).update(left_there="")
    jobs.ask_continue(training.job)
