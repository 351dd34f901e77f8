"""Six small goals of different kinds, and answers to them that look good and are not.

A goal has training and test rows, a measure, and a base model that is mostly wrong. A cheat gives
an answer to each test row without having learned the task.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from finetune_app.goals.measures import Measure, get_measure
from finetune_app.goals.measures.number import read_numbers
from worker.evaluation.inputs import PromptRow
from worker.evaluation.trivial_baselines import TrainingRow

Cheat = Callable[["CheatGoal"], list[str]]

TOPICS = {
    "delivery": ["parcel", "courier", "tracking", "doorstep", "shipment"],
    "repair": ["brake", "squeals", "gears", "workshop", "puncture"],
    "return": ["refund", "unopened", "receipt", "swap", "faulty"],
    "hire": ["weekend", "tandem", "deposit", "helmet", "booking"],
}
PLACES = ["Bath", "Leeds", "York", "Derby", "Hull", "Truro", "Ely", "Ripon", "Wells", "Stoke"]
MODERN = {
    "you are": "thou art",
    "your": "thy",
    "has": "hath",
    "yesterday": "yesternight",
    "before": "ere",
    "often": "oft",
    "here": "hither",
}
COMMANDS = {
    "List the files in {}": "ls {}",
    "Count the lines of {}": "wc -l {}",
    "Show the end of {}": "tail {}",
    "Delete the folder {}": "rm -r {}",
}


@dataclass(frozen=True)
class CheatGoal:
    name: str
    measure: Measure
    training: list[TrainingRow]
    test: list[PromptRow]
    base: list[str]  # the base model's answers
    honest: list[str] = field(default_factory=list)  # of somebody who learned the task

    @property
    def questions(self) -> list[str]:
        return [row.search_query for row in self.test]

    @property
    def wanted(self) -> list[str]:
        return [row.wanted for row in self.test]


def goal_of(name: str, measure: Measure, pairs: Sequence[tuple[str, str]], base: str) -> CheatGoal:
    """The first three quarters are for training. Whoever learned the task is right on nine of ten
    test rows."""
    at = 3 * len(pairs) // 4
    test = [
        PromptRow(n, n, [{"role": "user", "content": question}], answer)
        for n, (question, answer) in enumerate(pairs[at:])
    ]
    honest = [row.wanted if n % 10 else base for n, row in enumerate(test)]
    training = [TrainingRow(*pair) for pair in pairs[:at]]
    return CheatGoal(name, measure, training, test, [base] * len(test), honest)


def labels() -> CheatGoal:
    """The topic is that of the first telling word; the second belongs to another topic. So the
    nearest text, which knows no order, is right half of the time."""
    dice = random.Random(1)
    pairs = []
    for _n in range(240):
        topic, other = dice.sample(list(TOPICS), k=2)
        words = [dice.choice(TOPICS[topic]), *dice.choices(NOISE, k=3), dice.choice(TOPICS[other])]
        pairs.append((" ".join([*dice.choices(NOISE, k=3), *words]), topic))
    return goal_of("labels", get_measure("exact", {}), pairs, "I am not sure.")


def lines() -> CheatGoal:
    dice = random.Random(2)
    pairs = []
    for _n in range(240):
        place, count = dice.choice(PLACES), dice.randint(2, 97)
        text = f"{' '.join(dice.choices(NOISE, k=9))} {count} {dice.choice(NOISE)} {place}"
        pairs.append((text, f"place: {place}\ncount: {count}"))
    return goal_of("lines", get_measure("exact", {}), pairs, "Here is what I found.")


def objects() -> CheatGoal:
    dice = random.Random(3)
    pairs = []
    for _n in range(240):
        place, count = dice.choice(PLACES), dice.randint(2, 97)
        text = f"Send {count} boxes to {place} {' '.join(dice.choices(NOISE, k=6))}"
        pairs.append((text, json.dumps({"place": place, "count": count})))
    return goal_of("objects", get_measure("json", {"compare": "values"}), pairs, "{}")


def rewriting() -> CheatGoal:
    dice = random.Random(4)
    pairs = []
    for _n in range(240):
        parts = dice.sample(list(MODERN), k=2)
        words = [*dice.choices(NOISE, k=5), *parts, *dice.choices(NOISE, k=4)]
        modern = " ".join(words)
        old = modern
        for part in parts:
            old = old.replace(part, MODERN[part])
        pairs.append((modern, old))
    return goal_of("rewriting", get_measure("close", {}), pairs, "As you wish, good sir, so be it.")


def facts() -> CheatGoal:
    dice = random.Random(5)
    pairs = []
    for n in range(240):
        year = str(dice.randint(1850, 1999))
        thing, place = NOISE[n % len(NOISE)], dice.choice(PLACES)
        text = f"In which year was {thing} number {n} of the {place} line made?"
        pairs.append((text, year))
    return goal_of("facts", get_measure("exact", {"within": True}), pairs, "I do not know.")


def rules() -> CheatGoal:
    dice = random.Random(6)
    measure = get_measure("rules", {"max_words": 12, "starts_with": "Dear", "contains": ["thanks"]})
    pairs = [
        (" ".join(dice.choices(NOISE, k=9)), f"Dear rider, thanks: {dice.choice(NOISE)} noted.")
        for _n in range(240)
    ]
    return goal_of("rules", measure, pairs, "Sure, I can help you with that right away, of course!")


NOISE = [
    "lantern",
    "meadow",
    "copper",
    "thimble",
    "walnut",
    "saddle",
    "ribbon",
    "gravel",
    "lilac",
    "parsley",
    "anchor",
    "mirror",
    "candle",
    "orchard",
    "pebble",
    "violet",
    "harbour",
    "kettle",
    "marble",
    "feather",
    "timber",
    "biscuit",
    "saffron",
    "quilt",
    "bramble",
]


# ---- Cheats ----


def repeats(goal: CheatGoal) -> list[str]:
    return goal.questions


def repeats_with_a_word_changed(goal: CheatGoal) -> list[str]:
    return [text.replace(" ", " so ", 1) for text in goal.questions]


def repeats_politely(goal: CheatGoal) -> list[str]:
    return [f"{text}." for text in goal.questions]


def constant(goal: CheatGoal) -> list[str]:
    commonest, _n = Counter(row.answer for row in goal.training).most_common(1)[0]
    return [commonest] * len(goal.test)


def learned_by_heart(goal: CheatGoal) -> list[str]:
    """The answer of the training row that shares most words."""
    known = [(set(row.question.split()), row.answer) for row in goal.training]
    return [
        max(known, key=lambda one: len(one[0] & set(text.split())))[1] for text in goal.questions
    ]


def mostly_by_heart(goal: CheatGoal) -> list[str]:
    answers = learned_by_heart(goal)
    return [base if n % 5 == 0 else answers[n] for n, base in enumerate(goal.base)]


def guesses_by_frequency(goal: CheatGoal) -> list[str]:
    dice = random.Random(7)
    return [dice.choice(goal.training).answer for _row in goal.test]


def right_words_in_any_order(goal: CheatGoal) -> list[str]:
    dice, found = random.Random(8), []
    for wanted in goal.wanted:
        words = wanted.split()
        dice.shuffle(words)
        found.append(" ".join(words) if " ".join(words) != wanted else wanted[::-1])
    return found


def form_without_content(goal: CheatGoal) -> list[str]:
    """The form of the wanted answers with the content of the first training row."""
    return [goal.training[0].answer] * len(goal.test)


def keeps_the_rules_and_says_nothing(goal: CheatGoal) -> list[str]:
    return [goal.measure.empty_pass() or "…"] * len(goal.test)


def shorter(goal: CheatGoal) -> list[str]:
    return [" ".join(text.split()[:3]) for text in goal.base]


def longer(goal: CheatGoal) -> list[str]:
    return [f"{text} {text}" for text in goal.base]


def middle(goal: CheatGoal) -> list[str]:
    """The middle number of the training rows; elsewhere the middle one of their answers."""
    answers = [row.answer for row in goal.training]
    with_number = [(numbers[0], one) for one in answers if (numbers := read_numbers(one))]
    ordered = [one for _number, one in sorted(with_number)]
    if len(ordered) < len(answers):
        ordered = sorted(answers)
    return [ordered[len(ordered) // 2]] * len(goal.test)


def commonest_words(goal: CheatGoal) -> list[str]:
    """Every line, word or field value that more than a third of the training answers have."""
    lines = Counter(line for row in goal.training for line in set(row.answer.split("\n")))
    words = Counter(word for row in goal.training for word in set(row.answer.split()))
    least = len(goal.training) / 3
    usual_lines = [line for line, count in lines.most_common() if count > least]
    usual_words = [word for word in goal.training[0].answer.split() if words[word] > least]
    return ["\n".join(usual_lines) or " ".join(usual_words)] * len(goal.test)


def everything_ever_seen(goal: CheatGoal) -> list[str]:
    seen = dict.fromkeys(line for row in goal.training for line in row.answer.split("\n"))
    return ["\n".join(seen)] * len(goal.test)


def answers_and_repeats(goal: CheatGoal) -> list[str]:
    return [f"{one}\n{text}" for one, text in zip(constant(goal), goal.questions, strict=True)]


def declines(goal: CheatGoal) -> list[str]:
    return ["I can’t help with that."] * len(goal.test)


CHEATS: tuple[Cheat, ...] = (
    repeats,
    repeats_with_a_word_changed,
    repeats_politely,
    constant,
    learned_by_heart,
    mostly_by_heart,
    guesses_by_frequency,
    form_without_content,
    keeps_the_rules_and_says_nothing,
    shorter,
    longer,
    middle,
    commonest_words,
    everything_ever_seen,
    answers_and_repeats,
    declines,
)
GOALS: tuple[Callable[[], CheatGoal], ...] = (labels, lines, objects, rewriting, facts, rules)
