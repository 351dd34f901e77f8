"""What an answer without any model would score by a measure, on the goal's own examples.

Shown before anything is trained: where copying scores high, the measure tells little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.goals.measures import Measure, NeedsEmbedder

HIGH_SHARE = 0.3  # of the points: a model can look good by copying


@dataclass(frozen=True)
class TrivialCheck:
    """`sentence` is for the page; `high` where another measure would tell more."""

    sentence: str
    high: bool


def check_measure(measure: Measure, pairs: Sequence[Mapping[str, str]]) -> TrivialCheck | None:
    """None where a person decides, without a pair of question and answer, or where the measure
    needs a model that cannot be asked now."""
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
    if _looks_at_form_alone(measure, full):
        return TrivialCheck(
            _(
                "By this measure each of your answers would pass for the other questions, too. So "
                "it tells whether the form is right, and not whether the answer is."
            ),
            high=True,
        )
    try:
        scores = [measure.check(pair["prompt"], pair["answer"]) for pair in full]
    except NeedsEmbedder:
        return None
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


def _looks_at_form_alone(measure: Measure, pairs: Sequence[Mapping[str, str]]) -> bool:
    """Whether every answer passes for every other pair, although another one is wanted there."""
    if measure.graded:
        return False
    others = [
        (one["answer"], other["answer"])
        for one in pairs
        for other in pairs
        if one["answer"] != other["answer"]
    ]
    return bool(others) and all(measure.check(*pair).passed for pair in others)
