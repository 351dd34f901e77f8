"""The longest example, in tokens, that a goal's base model is trained on.

The number itself: MAX_TOKENS in basemodels/automatic_settings.py.
"""

from finetune_app.basemodels.automatic_settings import MAX_TOKENS
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.checks.rules.base import TokenLimit
from finetune_app.goals.models import Goal


def token_limit_of(goal: Goal) -> TokenLimit | None:
    """None while no base model is chosen. Longer ones are shortened or left out
    (worker/template.py)."""
    choice = BaseModelChoice.objects.select_related("base_model").filter(goal=goal).first()
    if choice is None:
        return None
    model = choice.base_model
    return TokenLimit(
        model.slug, model.name, model.folder, min(MAX_TOKENS, model.context or MAX_TOKENS)
    )
