"""Which method fits: from answers to a recommendation with reasons. Independent of the database.

answers.py    the nine answers, validated
questions.py  the texts of the questions and of every answer
sources.py    the literature behind the rules
rule_types.py a rule, and the effects it may have
rules/        the rules: gates, points, requirements, notes
decide.py     the decision
explain.py    the decision in words
"""

from finetune_app.guide.advice.answers import Answers, AnswersError
from finetune_app.guide.advice.decide import Recommend
from finetune_app.guide.advice.explain import Recommendation, advise

__all__ = ["Answers", "AnswersError", "Recommend", "Recommendation", "advise"]
