"""The goal as instructions for a model, with which every prompt written here begins."""

from finetune_app.goals.measures import instruction
from finetune_app.goals.models import Goal


def goal_instructions(goal: Goal) -> str:
    """The goal's description, then what makes an answer right.

    The workbench and the prompt baseline of an evaluation both begin with this text, so that they
    can be compared.
    """
    rule = instruction(goal.measure, goal.measure_settings) if goal.measure else ""
    return "\n\n".join(part for part in (goal.description.strip(), rule) if part)
