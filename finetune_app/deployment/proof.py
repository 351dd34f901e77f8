"""A tuned candidate that answers as its base does must not go live."""

import logging

from asgiref.sync import async_to_sync
from django.utils.translation import gettext as _

from finetune_app.candidates import services, talk
from finetune_app.candidates.models import Candidate
from finetune_app.core import engine
from finetune_app.core.errors import PlainError

log = logging.getLogger(__name__)


def require_effect(candidate: Candidate) -> None:
    """Raise PlainError when its adapter is damaged or changes nothing.

    Outside a transaction, since the engine may have to load a model first. While it cannot be
    asked nobody is refused: it looks again before the first answer, and refuses that.
    """
    given = services.for_engine(candidate)
    if not given["adapter"]:
        return
    try:
        problem = async_to_sync(engine.prove)(
            given["base_model"], given["adapter"],
            number_format=talk.number_format(candidate) or "auto",
        )  # fmt: skip
    except engine.EngineUnavailable as why:
        log.warning("candidate %s goes live unproved: %s", candidate.pk, why)
        return
    if problem:
        raise PlainError(problem, title=_("It would answer as its base model"))
