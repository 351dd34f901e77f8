"""What an answer without any model would score by a measure, on the goal's own examples.

Shown before anything is trained: where copying scores high, the measure tells little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.goals.measures import Measure

HIGH_SHARE = 0.3  # of the points: a model can look good by copying


@dataclass(frozen=True)
class TrivialCheck:
    """`sentence` is for the page; `high` where another measure would tell more."""

    sentence: str
    high: bool


def check_measure(measure: Measure, pairs: Sequence[Mapping[str, str]]) -> TrivialCheck | None:
    """None where a person decides, or without a pair of question and answer."""
    full = [pair for pair in pairs if pair.get("prompt") and pair.get("answer")]
    if measure.needs_person:
        return None
    if measure.empty_pass():
        return TrivialCheck(
            _(
                "An answer that keeps these rules and says nothing would pass. So rules alone can "
                "never show that a model is better; a person's blind choice can."
            ),
            high=True,
        )
    if not full:
        return None
    scores = [measure.check(pair["prompt"], pair["answer"]) for pair in full]
    if measure.graded:
        share = sum(score.value for score in scores) / len(scores)
        result = _("%(n).0f of 100 points") % {"n": 100 * share}
    else:
        right = sum(score.passed for score in scores)
        share = right / len(scores)
        result = _("%(right)d of %(all)d right") % {"right": right, "all": len(scores)}
    sentence = _(
        "Whoever only repeats the question gets %(result)s on your examples by this measure."
    ) % {"result": result}
    if share < HIGH_SHARE:
        return TrivialCheck(sentence, high=False)
    return TrivialCheck(
        sentence
        + " "
        + _("A model can look good by copying. A person's blind choice would tell you more."),
        high=True,
    )
