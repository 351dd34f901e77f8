"""The rules, each with its condition, its effect, a sentence and its sources.

They are applied in this order. A gate that matches decides at once. Otherwise points are added up
for instructions, search and training; then the requirements of the chosen method are checked.
Notes change nothing. FALLBACK applies when no rule does. decide.py evaluates the rules, and
docs/wizard.md shows them as a table.
"""

from django.utils.translation import gettext_lazy as _

from finetune_app.guide.advice.rule_types import Gate, Rule
from finetune_app.guide.advice.rules.gates import GATES
from finetune_app.guide.advice.rules.notes import NOTES
from finetune_app.guide.advice.rules.points import POINTS
from finetune_app.guide.advice.rules.requirements import REQUIREMENTS

FALLBACK = Rule(
    "nothing_stands_out",
    lambda a: True,
    Gate("prompt"),
    _(
        "Nothing you said calls for more than instructions yet. Look at the questions it gets "
        "wrong, and say in the instructions what to do there."
    ),
    ("tried_prompt",),
    ("judgement",),
    "no method has the 2 points that make it worth its effort",
)

RULES = (*GATES, *POINTS, *REQUIREMENTS, *NOTES, FALLBACK)

__all__ = ["FALLBACK", "GATES", "NOTES", "POINTS", "REQUIREMENTS", "RULES"]
