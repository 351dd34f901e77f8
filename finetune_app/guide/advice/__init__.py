"""Which method fits: answers in, a recommendation with its reasons out. Knows no database.

answers.py    the nine facts a person may give, checked
questions.py  the words of the questions and of every answer
sources.py    what the rules rest on
kinds.py      what a rule is, and what it may do
rules.py      the rules: gates, points, what must be at hand, what to keep in mind
decide.py     the decision
explain.py    its reasons in words: why, not yet, what would change it, how sure
"""

from finetune_app.guide.advice.answers import Answers, AnswersError
from finetune_app.guide.advice.decide import Recommend
from finetune_app.guide.advice.explain import Recommendation, advise

__all__ = ["Answers", "AnswersError", "Recommend", "Recommendation", "advise"]
