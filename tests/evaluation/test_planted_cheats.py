"""No answer that only looks good is called better or worth the work, on fourteen kinds of goal."""

import pytest

from finetune_app.evaluation.recommendation import MethodScores, recommend
from finetune_app.evaluation.services import paired_outcome
from finetune_app.evaluation.trivial_baselines import trivial_scores
from finetune_app.evaluation.verdict.computation import compute_verdict
from finetune_app.evaluation.verdict.types import Verdict
from tests.evaluation.cheat_goals import CHEATS, GOALS, CheatGoal, right_words_in_any_order
from tests.evaluation.cheat_goals_partly_right import PARTLY_RIGHT_GOALS
from worker.evaluation import trivial_baselines
from worker.evaluation.trivial_baselines import scored

ALL_GOALS = (*GOALS, *PARTLY_RIGHT_GOALS)


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


@pytest.fixture(scope="module")
def trials() -> dict[str, Trial]:
    return {goal().name: Trial(goal()) for goal in ALL_GOALS}


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
@pytest.mark.parametrize("name", [goal.__name__ for goal in ALL_GOALS])
def test_a_cheat_is_neither_better_nor_worth_the_work(trials, name, cheat):
    trial = trials[name]
    answers = cheat(trial.goal)
    assert not trial.verdict(answers).better
    assert trial.recommended(answers) not in ("worth_it", "enough")


@pytest.mark.parametrize("name", ["labels", "lines", "objects", "facts", "objects_partly"])
def test_right_words_in_any_order_are_not_better(trials, name):
    answers = right_words_in_any_order(trials[name].goal)
    assert not trials[name].verdict(answers).better


@pytest.mark.parametrize(
    "name",
    ["labels", "lines", "objects", "rewriting", *(goal.__name__ for goal in PARTLY_RIGHT_GOALS)],
)
def test_whoever_learned_the_task_is_better_and_worth_the_work(trials, name):
    """Else the suite would pass by calling nothing better."""
    trial = trials[name]
    assert trial.verdict(trial.goal.honest).level == "consistently_better"
    assert trial.recommended(trial.goal.honest) == "worth_it"


def test_rules_alone_show_nothing(trials):
    found = trials["rules"].verdict(trials["rules"].goal.honest)
    assert found.headline == "Not better than keeping the rules and saying nothing."
