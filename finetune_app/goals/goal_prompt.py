"""A goal in words for a model: where every prompt that we write for it begins."""

from finetune_app.goals.measures import instruction
from finetune_app.goals.models import Goal


def goal_instructions(goal: Goal) -> str:
    """What the person wrote, then what makes an answer right. The workbench and the fair rival of
    an evaluation begin with the same words, so that the one may be judged by the other."""
    rule = instruction(goal.measure, goal.measure_settings) if goal.measure else ""
    return "\n\n".join(part for part in (goal.description.strip(), rule) if part)
