"""Other names of a deployment: a program that asks for gpt-4o-mini need not be changed."""

import re

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from finetune_app.basemodels.catalogue import entry_of
from finetune_app.basemodels.models import BaseModel
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment, ModelAlias

MAX_ALIASES = 20  # of one deployment; each is a line of GET /v1/models
# In SQL, since each request to the API asks it: Django takes longer to write a statement than a
# database to answer it (docs/benchmarks/web.md).
BY_NAME = """
    SELECT * FROM deployment_deployment WHERE team_id = %s AND (
        name = %s OR id IN (
            SELECT deployment_id FROM deployment_modelalias WHERE team_id = %s AND name = %s
        )
    ) ORDER BY id
"""
ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")


def add_alias(*, deployment: Deployment, name: str) -> ModelAlias:
    """Let the deployment answer under this name, too. Nothing changes if it does already.

    Raises PlainError for a name that cannot be one, or that means something else here.
    """
    name = name.strip()
    if not ALLOWED.fullmatch(name) or len(name) > ModelAlias.MAX_LENGTH:
        raise PlainError(
            _(
                "A name has letters, digits and . _ : / - and up to %(n)d of them, "
                "such as gpt-4o-mini."
            )
            % {"n": ModelAlias.MAX_LENGTH}
        )
    if deployment.name == name:
        raise PlainError(_("“%(name)s” is its name already.") % {"name": name})
    if found := deployment.aliases.filter(name=name).first():
        return found
    if is_taken(deployment.team_id, name):
        raise _taken(name)
    if deployment.aliases.count() >= MAX_ALIASES:
        raise PlainError(_("It has %(n)d other names. Remove one first.") % {"n": MAX_ALIASES})
    try:
        with transaction.atomic():
            return deployment.aliases.create(team_id=deployment.team_id, name=name)
    except IntegrityError:  # somebody was quicker
        raise _taken(name) from None


def deployment_named(team_id: int, name: str) -> Deployment | None:
    """The team's deployment that answers under this name."""
    return next(iter(Deployment.objects.raw(BY_NAME, [team_id, name, team_id, name])), None)


def is_taken(team_id: int, name: str) -> bool:
    """Whether a program of the team may use this name already, or could once a model of the
    catalogue is installed."""
    base_models = BaseModel.objects.filter(Q(team=None) | Q(team=team_id), slug=name)
    return (
        entry_of(name) is not None
        or _is_of_tuned_model(team_id, name)
        or base_models.exists()
        or deployment_named(team_id, name) is not None
    )


def _is_of_tuned_model(team_id: int, name: str) -> bool:
    """Whether it has the form of fine_tuning_api's names, ft:tiny:team-1:shop:c192097b."""
    return name.startswith("ft:") and name.split(":")[2:3] == [f"team-{team_id}"]


def _taken(name: str) -> PlainError:
    return PlainError(_("“%(name)s” is the name of another model here.") % {"name": name})
