"""The sentences of a second opinion: what the judge preferred, or why it is not to be trusted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.core.templatetags.ui import percent
from finetune_app.judging import calibration
from finetune_app.judging.grading import Judgement, Share
from finetune_app.judging.job_messages import ControlKind
from finetune_app.judging.limits import MIN_ANSWERED, MIN_ORDER_AGREEMENT

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

ORDER_HEADLINES: dict[str, "StrPromise"] = {
    "first_place": _l("It prefers whichever answer comes first."),
    "second_place": _l("It prefers whichever answer comes second."),
    "inconsistent": _l("It contradicts itself."),
}

# Bias -> headline, sentence, and the kinds of control pairs that the sentence counts.
CONTROL_TEXTS: dict[str, tuple["StrPromise", "StrPromise", tuple[ControlKind, ...]]] = {
    "cannot_tell": (
        _l("It cannot tell a right answer from a wrong one."),
        _l(
            "Between the wanted answer of a prompt and that of another one, it chose the right one "
            "on %(part)d of %(whole)d control pairs."
        ),
        ("longer", "shorter"),
    ),
    "longer": (
        _l("It prefers the longer answer, even where that is wrong."),
        _l(
            "Where the wrong answer was the longer one, it chose the right one on %(part)d of "
            "%(whole)d control pairs."
        ),
        ("longer",),
    ),
    "shorter": (
        _l("It prefers the shorter answer, even where that is wrong."),
        _l(
            "Where the wrong answer was not the longer one, it chose the right one on %(part)d of "
            "%(whole)d control pairs."
        ),
        ("shorter",),
    ),
    "padded": (
        _l("It prefers an answer that is longer and says no more."),
        _l(
            "The right answer was held against itself with polite filler around it, or said twice. "
            "The filler did not win on %(part)d of %(whole)d control pairs."
        ),
        ("padded",),
    ),
    "base_style": (
        _l("It prefers how the base model writes, even where that is wrong."),
        _l(
            "Against wrong answers of the base model, it chose the wanted answer on %(part)d of "
            "%(whole)d control pairs."
        ),
        ("base_style",),
    ),
    "ours_style": (
        _l("It prefers how %(ours)s writes, even where that is wrong."),
        _l(
            "Against wrong answers of %(ours)s, it chose the wanted answer on %(part)d of "
            "%(whole)d control pairs."
        ),
        ("ours_style",),
    ),
    "any_style": (
        _l("It prefers what a model wrote to what you want."),
        _l(
            "Against wrong answers of both models, it chose the wanted answer on %(part)d of "
            "%(whole)d control pairs."
        ),
        ("base_style", "ours_style"),
    ),
}


@dataclass(frozen=True)
class OpinionText:
    """A headline and a sentence with the numbers behind it."""

    headline: str
    sentence: str


def opinion_text(judgement: Judgement, ours: str, *, significant: bool) -> OpinionText:
    """The opinion of a judge that passed; of one that did not, the bias that was seen.

    Args:
        ours: the candidate in question, as named in a sentence.
        significant: whether chance alone would rarely give its split.
    """
    if judgement.bias or judgement.split is None:
        return _bias_text(judgement, ours)
    wins, ties, losses = judgement.split
    if not significant:
        headline = _("The judge sees no clear difference.")
    elif wins > losses:
        headline = _("The judge prefers %(ours)s.") % {"ours": ours}
    else:
        headline = _("The judge prefers the base model.")
    sentence = _(
        "It preferred %(ours)s on %(wins)d of %(total)d prompts, the base model on %(losses)d, and "
        "neither on %(ties)d."
    ) % {"ours": ours, "wins": wins, "losses": losses, "ties": ties, "total": wins + ties + losses}
    return OpinionText(headline, sentence)


def trust_text(judgement: Judgement) -> str:
    """Why a judge that passed may be listened to."""
    right = judgement.right
    return _(
        "Both orders agreed on %(agreed)s of the pairs, and it was right on %(right)d of %(all)d "
        "control pairs."
    ) % {
        "agreed": percent(judgement.orders.value),
        "right": right.part,
        "all": right.whole,
    }


def people_text(share: Share) -> str:
    """How often it chose as the people did who voted blind; "" where nobody has decided."""
    if not share.whole:
        return ""
    low, high = share.interval
    counts = _(
        "Where people voted blind and decided, it chose as they did on %(part)d of %(whole)d "
        "prompts (%(low)s to %(high)s)."
    ) % {
        "part": share.part,
        "whole": share.whole,
        "low": percent(low),
        "high": percent(high),
    }
    if calibration.agrees(share):
        return f"{counts} {_('It agrees with your people.')}"
    if calibration.disagrees(share):
        return f"{counts} {_('It disagrees with your people: follow them, not the judge.')}"
    return f"{counts} {_('That is too few to say that it agrees with your people.')}"


def _bias_text(judgement: Judgement, ours: str) -> OpinionText:
    bias = judgement.bias
    if bias == "no_answer":
        return OpinionText(
            _("It does not answer as asked."),
            _(
                "Only %(part)d of %(whole)d questions were answered with A, B or T and nothing "
                "else; at least %(needed)s are needed."
            )
            % _numbers(judgement.answered, MIN_ANSWERED),
        )
    if bias and bias in ORDER_HEADLINES:
        return OpinionText(str(ORDER_HEADLINES[bias]), _order_sentence(judgement))
    return _control_text(judgement, ours)


def _order_sentence(judgement: Judgement) -> str:
    """Where the orders disagree, nothing else is shown."""
    return _(
        "Each pair was shown in both orders. The two answers agreed on %(part)d of %(whole)d pairs "
        "(%(share)s); at least %(needed)s are needed."
    ) % _numbers(judgement.orders, MIN_ORDER_AGREEMENT)


def _numbers(share: Share, needed: float) -> dict[str, object]:
    return {
        "part": share.part,
        "whole": share.whole,
        "share": percent(share.value),
        "needed": percent(needed),
    }


def _control_text(judgement: Judgement, ours: str) -> OpinionText:
    """The headline names the bias, the sentence the control pairs that showed it."""
    assert judgement.bias
    headline, sentence, kinds = CONTROL_TEXTS[judgement.bias]
    shares = [judgement.controls[kind] for kind in kinds]
    numbers = {
        "part": sum(one.part for one in shares),
        "whole": sum(one.whole for one in shares),
        "ours": ours,
    }
    return OpinionText(headline % numbers, sentence % numbers)
