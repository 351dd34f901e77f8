"""Which models may judge an evaluation. None may judge its own answers."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.basemodels.models import BaseModel
from finetune_app.basemodels.services import usable_by
from finetune_app.candidates.models import Candidate
from finetune_app.evaluation.models import Evaluation
from finetune_app.providers.models import Endpoint

BASE, ENDPOINT = "base", "endpoint"  # a key is one of these, "-", and an id
WEIGHTS = (".safetensors", ".bin")


@dataclass(frozen=True)
class JudgeOption:
    """A model that could judge. `why_not`: why it may not, or ""."""

    key: str
    model: BaseModel | Endpoint
    why_not: str = ""

    @property
    def label(self) -> str:
        return self.model.name

    @property
    def is_remote(self) -> bool:
        return isinstance(self.model, Endpoint)

    @property
    def detail(self) -> str:
        if isinstance(self.model, Endpoint):
            return _("%(model)s, elsewhere: the texts are sent there") % {"model": self.model.model}
        return _("On this machine. Small models seldom pass")


def judge_options(evaluation: Evaluation) -> list[JudgeOption]:
    """All models of the team, those that may not judge with the reason."""
    participants = evaluation.candidates()
    team = evaluation.goal.team
    return [
        *(
            JudgeOption(f"{ENDPOINT}-{one.pk}", one, _why_not_endpoint(one, participants))
            for one in team.endpoints.all()
        ),
        *(
            JudgeOption(f"{BASE}-{one.pk}", one, _why_not_base(one, participants))
            for one in usable_by(team)
            if one.is_here
        ),
    ]


def _why_not_endpoint(endpoint: Endpoint, participants: Iterable[Candidate]) -> str:
    """The same model at the same address is the same judge, whatever the team calls it."""
    asked = {(one.endpoint.url, one.endpoint.model) for one in participants if one.endpoint}
    if (endpoint.url, endpoint.model) in asked:
        return _("It answers in this evaluation, so it would judge itself.")
    return ""


def _why_not_base(model: BaseModel, participants: Iterable[Candidate]) -> str:
    """Neither a base model that takes part nor another name for the same weights."""
    for one in participants:
        if one.base_model is None:
            continue
        if one.base_model == model:
            return _(
                "It answers in this evaluation, or a model that answers was made from it: it would "
                "judge itself."
            )
        if _weights(model) & _weights(one.base_model):
            return _("It has the weights of %(name)s, which answers in this evaluation.") % {
                "name": one.base_model.name
            }
    return ""


def _weights(model: BaseModel) -> set[str]:
    """Hashes of the files that hold the weights."""
    return {sha for name, sha in model.files.items() if name.endswith(WEIGHTS)}
