"""No answer that only looks good is called better or worth the work, on fourteen kinds of goal."""

from functools import cache

import pytest

from finetune_app.evaluation.outcomes import paired_outcome
from finetune_app.evaluation.recommendation import MethodScores, recommend
from finetune_app.evaluation.trivial_baselines import trivial_scores
from finetune_app.evaluation.verdict.computation import compute_verdict
from finetune_app.evaluation.verdict.types import Verdict
from tests.evaluation.cheat_goals import CHEATS, GOALS, CheatGoal, right_words_in_any_order
from tests.evaluation.cheat_goals_partly_right import PARTLY_RIGHT_GOALS, meanings
from worker.evaluation import trivial_baselines
from worker.evaluation.trivial_baselines import scored

ALL_GOALS = {goal.__name__: goal for goal in (*GOALS, *PARTLY_RIGHT_GOALS)}
UNLEARNABLE = ("facts", "rules")


def names(*goals: str):
    """Where a model has to read every answer, it takes a minute."""
    slow = meanings.__name__
    return [pytest.param(one, marks=pytest.mark.long) if one == slow else one for one in goals]


class Judged:
    """A score as the database keeps it, for answers and trivial answers alike."""

    def __init__(self, one: dict) -> None:
        self.passed, self.score, self.index = one["passed"], one["score"], one["index"]


class Trial:
    """One goal, judged as an evaluation does."""

    def __init__(self, goal: CheatGoal) -> None:
        self.goal = goal
        self.base = self.judge(goal.base)
        given = trivial_baselines.trivial_answers(goal.test, goal.training, goal.measure)
        self.trivial = {name: self.judge(answers) for name, answers in given}

    def judge(self, answers: list[str]) -> list[Judged]:
        return [Judged(one) for one in scored(self.goal.test, answers, self.goal.measure)]

    def outcomes(self, base: list[Judged], ours: list[Judged]):
        graded = self.goal.measure.graded
        return [paired_outcome(a, b, graded=graded) for a, b in zip(base, ours, strict=True)]

    def verdict(self, answers: list[str]) -> Verdict:
        ours = self.judge(answers)
        against = {name: self.outcomes(given, ours) for name, given in self.trivial.items()}
        return compute_verdict(self.outcomes(self.base, ours), "green", trivial_results=against)

    def recommended(self, answers: list[str]) -> str:
        graded = self.goal.measure.graded
        methods = [
            MethodScores(name, effort, self.points(judged), graded)
            for name, effort, judged in (
                ("the base model", (0, 0), self.base),
                ("a good prompt", (0, 1), self.base),
                ("fine-tuning", (0, 3), self.judge(answers)),
            )
        ]
        trivial = [trivial_scores(name, given, graded) for name, given in self.trivial.items()]
        found = recommend(methods, trivial)
        return found.found

    def points(self, judged: list[Judged]) -> tuple[float, ...]:
        graded = self.goal.measure.graded
        return tuple(one.score if graded else float(one.passed) for one in judged)


@cache
def trial_of(name: str) -> Trial:
    return Trial(ALL_GOALS[name]())


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
@pytest.mark.parametrize("name", names(*ALL_GOALS))
def test_a_cheat_is_neither_better_nor_worth_the_work(name, cheat):
    trial = trial_of(name)
    answers = cheat(trial.goal)
    assert not trial.verdict(answers).better
    assert trial.recommended(answers) not in ("worth_it", "enough")


@pytest.mark.parametrize("name", ["labels", "lines", "objects", "facts", "objects_partly"])
def test_right_words_in_any_order_are_not_better(name):
    trial = trial_of(name)
    assert not trial.verdict(right_words_in_any_order(trial.goal)).better


@pytest.mark.parametrize("name", names(*(name for name in ALL_GOALS if name not in UNLEARNABLE)))
def test_whoever_learned_the_task_is_better_and_worth_the_work(name):
    """Else the suite would pass by calling nothing better."""
    trial = trial_of(name)
    assert trial.verdict(trial.goal.honest).level == "consistently_better"
    assert trial.recommended(trial.goal.honest) == "worth_it"


def test_rules_alone_show_nothing():
    trial = trial_of("rules")
    found = trial.verdict(trial.goal.honest)
    assert found.headline == "Not better than keeping the rules and saying nothing."
