"""What may be chosen for the thinking of a model, in words."""

from typing import NamedTuple

from django.utils.translation import gettext as _

from finetune_app.basemodels.models import Thinking
from finetune_app.core.thinking import THOUGHT_TOKENS


class ThinkingChoice(NamedTuple):
    value: str
    label: str
    why: str


def thinking_choices() -> list[ThinkingChoice]:
    why = {
        Thinking.NO: _("It answers at once: quicker and cheaper. Begin here."),
        Thinking.SHORT: _("Up to %(n)s tokens of thought, about a paragraph."),
        Thinking.YES: _("Up to %(n)s tokens of thought, for problems of several steps. Slow."),
    }
    return [
        ThinkingChoice(one.value, str(one.label), why[one] % {"n": f"{THOUGHT_TOKENS[one]:,}"})
        for one in Thinking
    ]
