"""Evaluations with their answers and verdict, and what people voted on them."""

from finetune_app.evaluation.models.evaluations import (
    Answer,
    Comparison,
    Evaluation,
    PromptNote,
    TestSetLook,
    TrivialAnswer,
)
from finetune_app.evaluation.models.votes import Vote, VoteLink, Voter

__all__ = [
    "Answer",
    "Comparison",
    "Evaluation",
    "PromptNote",
    "TestSetLook",
    "TrivialAnswer",
    "Vote",
    "VoteLink",
    "Voter",
]
