"""What a judge's answers are worth: whether it passed, and what it preferred.

Each pair is asked in both orders. Only what the judge says in both counts; a contradiction is a
tie. A judge that fails its control pairs, or contradicts itself too often, is biased: the worst
bias is named and its opinion is not shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from finetune_app.evaluation.verdict.statistics import (
    Interval,
    Split,
    by_group,
    sign_test,
    wilson,
)
from finetune_app.judging.job_messages import (
    CONTROL_KINDS,
    Choice,
    ControlKind,
    GivenChoice,
    Kind,
    Pair,
)
from finetune_app.judging.limits import (
    LOPSIDED,
    MIN_ANSWERED,
    MIN_ORDER_AGREEMENT,
    MIN_RIGHT,
    ONE_SIDED,
)

Side = Literal["first", "second", "tie"]
PairKey = tuple[Kind, int]
Bias = Literal[
    "no_answer",
    "first_place",
    "second_place",
    "inconsistent",
    "cannot_tell",
    "longer",
    "padded",
    "shorter",
    "base_style",
    "ours_style",
    "any_style",
]

SIDES: Mapping[Choice, Side] = {"A": "first", "B": "second", "T": "tie"}
SWAPPED_SIDES: Mapping[Choice, Side] = {"A": "second", "B": "first", "T": "tie"}


@dataclass(frozen=True)
class JudgedPair:
    """A judge's answers to one pair; None where it gave no usable one."""

    straight: Side | None
    swapped: Side | None

    @property
    def orders_agree(self) -> bool:
        return self.straight is not None and self.straight == self.swapped

    @property
    def side(self) -> Side | None:
        """What counts: the side named in both orders, else a tie; None without two answers."""
        if self.straight is None or self.swapped is None:
            return None
        return self.straight if self.orders_agree else "tie"


@dataclass(frozen=True)
class Share:
    """A part of a whole, with its 95 % interval."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        return self.part / self.whole if self.whole else 0.0

    @property
    def interval(self) -> Interval:
        return wilson(self.part, self.whole)


@dataclass(frozen=True)
class Judgement:
    """What a judge's answers amount to.

    answered: questions answered with A, B or T, of those that were asked.
    said_a: how often it said A, of the times it said A or B.
    orders: pairs of the evaluation on which both orders agreed; before it is asked about them,
        control pairs, without the padded ones (where a tie is right, too).
    controls: control pairs it got right, by kind.
    split: pairs of the evaluation on which it preferred ours, neither (also where it gave no
        usable answer), and base; None for a judge that did not pass.
    p_value: of that preference, prompts of one group counted once.
    bias: why its opinion is not shown; None for a judge that passed.
    """

    answered: Share
    said_a: Share
    orders: Share
    controls: Mapping[ControlKind, Share] = field(default_factory=dict)
    split: Split | None = None
    p_value: float | None = None
    bias: Bias | None = None

    @property
    def right(self) -> Share:
        """Control pairs of all kinds."""
        shares = self.controls.values()
        return Share(sum(one.part for one in shares), sum(one.whole for one in shares))


def judged_pairs(given: Iterable[GivenChoice]) -> dict[PairKey, JudgedPair]:
    """The judge's answers, pair by pair."""
    straight: dict[PairKey, Side | None] = {}
    swapped: dict[PairKey, Side | None] = {}
    for one in given:
        key = (one["kind"], one["index"])
        if one["swapped"]:
            swapped[key] = SWAPPED_SIDES.get(one["choice"])
        else:
            straight[key] = SIDES.get(one["choice"])
    keys = [*straight, *(key for key in swapped if key not in straight)]
    return {key: JudgedPair(straight.get(key), swapped.get(key)) for key in keys}


def grade_controls(given: Iterable[GivenChoice], pairs: Iterable[Pair]) -> Judgement:
    """Whether it passes the control pairs, and so may be asked about the evaluation."""
    asked = [pair for pair in pairs if pair["kind"] != "answers"]
    said = [one for one in given if one["kind"] != "answers"]
    by_kind: dict[Kind, list[JudgedPair]] = defaultdict(list)
    for pair, judged in zip(asked, _judged(said, asked), strict=True):
        by_kind[pair["kind"]].append(judged)
    controls = {kind: _right(kind, by_kind[kind]) for kind in CONTROL_KINDS if by_kind[kind]}
    strict = [one for kind, found in by_kind.items() if kind != "padded" for one in found]
    judgement = _judgement(said, asked, strict)
    return replace(judgement, controls=controls, bias=judgement.bias or _bias_of(controls))


def grade(
    given: Sequence[GivenChoice],
    pairs: Sequence[Pair],
    same: int,
    groups: Mapping[int, str] = MappingProxyType({}),
) -> Judgement:
    """The whole judgement.

    Args:
        pairs: all that the judge was to be asked; the evaluation's own only after it has passed.
        same: prompts on which both gave the same answer, which are ties without asking.
        groups: see `Evaluation.groups`.
    """
    controls = grade_controls(given, pairs)
    asked = [pair for pair in pairs if pair["kind"] == "answers"]
    if controls.bias or not asked:
        return controls
    said = [one for one in given if one["kind"] == "answers"]
    judged = _judged(said, asked)
    judgement = replace(_judgement(said, asked, judged), controls=controls.controls)
    if judgement.bias:
        return judgement
    sides = [one.side for one in judged]
    wins, losses = sides.count("second"), sides.count("first")
    signs = [(side == "second") - (side == "first") for side in sides]
    counted = by_group(signs, [groups.get(pair["index"]) for pair in asked])
    return replace(
        judgement,
        split=Split(wins, len(sides) - wins - losses + same, losses),
        p_value=sign_test(counted.wins, counted.losses),
    )


def _judged(given: Iterable[GivenChoice], asked: Iterable[Pair]) -> list[JudgedPair]:
    """In the order of `asked`; a pair that was never answered has no sides."""
    found = judged_pairs(given)
    return [found.get((pair["kind"], pair["index"]), JudgedPair(None, None)) for pair in asked]


def _judgement(
    given: Iterable[GivenChoice], asked: Sequence[Pair], judged: Sequence[JudgedPair]
) -> Judgement:
    """What does not depend on which answer is right: whether it answers, and the same twice."""
    said = [one["choice"] for one in given]
    answered = Share(len(said) - said.count("none"), 2 * len(asked))
    said_a = Share(said.count("A"), said.count("A") + said.count("B"))
    orders = Share(sum(one.orders_agree for one in judged), len(judged))
    bias: Bias | None = None
    if answered.value < MIN_ANSWERED:
        bias = "no_answer"
    elif orders.value < MIN_ORDER_AGREEMENT:
        bias = _order_bias(said_a)
    return Judgement(answered, said_a, orders, bias=bias)


def _order_bias(said_a: Share) -> Bias:
    if said_a.value >= ONE_SIDED:
        return "first_place"
    if said_a.whole and said_a.value <= 1 - ONE_SIDED:
        return "second_place"
    return "inconsistent"


def _right(kind: Kind, judged: Sequence[JudgedPair]) -> Share:
    """A padded answer must not win; elsewhere the right one must."""
    right = ("first", "tie") if kind == "padded" else ("first",)
    return Share(sum(one.side in right for one in judged), len(judged))


def passes(share: Share) -> bool:
    """Whether it is right more often than a coin, by the lower bound of the 95 % interval."""
    return share.interval.low > MIN_RIGHT


def _bias_of(controls: Mapping[ControlKind, Share]) -> Bias | None:
    """The bias that the failed kinds show; the plainest explanation first."""
    failed = {kind for kind, share in controls.items() if not passes(share)}
    if {"longer", "shorter"} <= failed:
        gap = controls["shorter"].value - controls["longer"].value
        if abs(gap) < LOPSIDED:
            return "cannot_tell"
        return "longer" if gap > 0 else "shorter"
    lengths: tuple[ControlKind, ...] = ("longer", "shorter", "padded")
    styles: tuple[ControlKind, ...] = ("base_style", "ours_style")
    if failed >= set(styles) and not failed & set(lengths):
        return "any_style"
    return next((kind for kind in lengths + styles if kind in failed), None)
