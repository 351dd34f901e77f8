"""What may be chosen for the thinking of a model, in words."""

from typing import NamedTuple

from django.utils.translation import gettext as _

from finetune_app.basemodels.models import Thinking
from finetune_app.core.thinking import SHORT, THOUGHT_TOKENS, YES


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
    words = {
        Thinking.NO: why[Thinking.NO],
        Thinking.SHORT: why[Thinking.SHORT] % {"n": f"{THOUGHT_TOKENS[SHORT]:,}"},
        Thinking.YES: why[Thinking.YES] % {"n": f"{THOUGHT_TOKENS[YES]:,}"},
    }
    return [ThinkingChoice(one.value, str(one.label), words[one]) for one in Thinking]
