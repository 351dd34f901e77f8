"""The advice as a letter: headline, reasons, what not yet, what would change it, how sure."""

from copy import copy
from dataclasses import dataclass
from typing import Any, TypedDict

from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from finetune_app.datasets.enough_examples import ENOUGH_TESTS
from finetune_app.goals.models import Goal, Method
from finetune_app.guide.advice import Answers, Recommend, advise
from finetune_app.guide.advice.explain import ReasonJson
from finetune_app.guide.advice.questions import QUESTIONS, Text
from finetune_app.guide.advice.rules.conditions import pairs_missing
from finetune_app.guide.models import Advice
from finetune_app.guide.progress import Progress
from finetune_app.guide.step_results import StepResults
from finetune_app.guide.steps import DOCUMENTS, METHOD_OPTIONS
from finetune_app.guide.wizard.known_facts import known_facts, known_values
from finetune_app.guide.wizard.measured import Measured, measured
from finetune_app.guide.wizard.measured import headline as measured_headline
from finetune_app.guide.wizard.question_screens import SavedAnswers, Screen, screens

HEADLINE = {
    Recommend.PROMPT: gettext_lazy("Start with better instructions."),
    Recommend.RAG: gettext_lazy("Let it look things up."),
    Recommend.FINE_TUNE: gettext_lazy("Teach a model."),
    Recommend.RAG_THEN_FINE_TUNE: gettext_lazy("Look things up first, then teach it."),
    Recommend.COLLECT_DOCUMENTS: gettext_lazy("Gather your documents first."),
    Recommend.COLLECT_TESTS: format_lazy(
        gettext_lazy("Write about {n} test questions first."), n=ENOUGH_TESTS
    ),
    Recommend.GOOD_ENOUGH: gettext_lazy("Keep what you have."),
}
LEAD = {
    Recommend.PROMPT: gettext_lazy(
        "Prompt engineering (saying clearly what you want, with a few examples) is the cheapest "
        "thing that could work. You can measure here whether it does."
    ),
    Recommend.RAG: gettext_lazy(
        "Searching your documents (experts call it RAG) puts the passages that fit before each "
        "question, so that it answers from what your papers say today."
    ),
    Recommend.FINE_TUNE: gettext_lazy(
        "Fine-tuning (training a model a little further on your examples) fits what you describe."
    ),
    Recommend.RAG_THEN_FINE_TUNE: gettext_lazy(
        "Searching your documents (RAG) brings the facts; fine-tuning (training a model a little "
        "further on your examples) then teaches the way of answering. In this order: each helps "
        "by itself, and you see what the second adds."
    ),
    Recommend.COLLECT_PAIRS: gettext_lazy(
        "Fine-tuning (training a model a little further on your examples) is the right way for "
        "what you describe. It lacks only what to learn from."
    ),
    Recommend.COLLECT_DOCUMENTS: gettext_lazy(
        "Searching your documents (experts call it RAG) is the right way for what you describe. "
        "It lacks only what to search."
    ),
    Recommend.COLLECT_TESTS: gettext_lazy(
        "Questions whose right answers you know, which nothing learns from. They take an hour, and "
        "they are the only way to find out whether anything helps."
    ),
    Recommend.GOOD_ENOUGH: gettext_lazy(
        "What you have does the job. If you like, measure it once, so that you notice when it no "
        "longer does."
    ),
}
CONFIDENCE = {  # filled bars of five, and the words
    "high": (4, gettext_lazy("Quite sure.")),
    "medium": (3, gettext_lazy("Fairly sure.")),
    "low": (1, gettext_lazy("A first guess.")),
}
NEXT = {
    1: gettext_lazy("how you will know that it worked"),
    3: gettext_lazy("choose the model to start from"),
    5: gettext_lazy("see how it does on prompts it has never seen"),
    6: gettext_lazy("take it with you"),
}
STEP_4_TASKS = {
    Method.PROMPT: gettext_lazy("write instructions, and see what they do"),
    Method.RAG: gettext_lazy("add the documents it looks things up in"),
    Method.FINE_TUNE: gettext_lazy("train it"),
    Method.RAG_THEN_FINE_TUNE: gettext_lazy("train it on top of the search"),
}


@dataclass(frozen=True)
class Next:
    """The button below the letter, which chooses `method` and leads to `url`."""

    method: Method
    sentence: str
    verb: str
    url: str


def method_of(advice: Advice) -> Method:
    """The method that an advice leads to."""
    return Method(advice.result.get("way") or Method.PROMPT)


def next_after(goal: Goal, method: str, what: str = "", results: StepResults | None = None) -> Next:
    """The next page for a goal with this method, given the recommendation. Saves nothing.

    `results` are the goal's, where a view has read them already.
    """
    trial = copy(goal)
    trial.method = Method(method)
    progress = Progress(trial, results or StepResults([trial]))
    dataset = reverse("datasets:page", kwargs={"goal_id": goal.pk})
    if what == Recommend.COLLECT_PAIRS and trial.method.trains:
        sentence = _("write more of them, one idea at a time, or import a file")
        ideas = reverse("labelling:ideas", kwargs={"goal_id": goal.pk})
        return Next(trial.method, sentence, _("Write more"), ideas)
    if what == Recommend.COLLECT_TESTS:
        return Next(trial.method, _test_questions(), _("Write questions"), dataset)
    if trial.method.searches and not progress.documents and progress.at > 1:
        # The documents come first, then the questions to test them with.
        return Next(
            trial.method, str(STEP_4_TASKS[Method.RAG]), _("Add documents"), DOCUMENTS.url(goal)
        )
    return Next(trial.method, _sentence(progress), progress.next.label, progress.next.url)


def _sentence(progress: Progress) -> str:
    """The text after "Next:"."""
    method = Method(progress.goal.method)
    if progress.at == 4:
        return str(STEP_4_TASKS[method])
    if progress.at == 2 and method.trains:
        return _("add the examples it learns from")
    if progress.at == 2:
        there = progress.examples or progress.version
        return _("the questions it is tested with") if there else _test_questions()
    return str(NEXT[progress.at])


def _test_questions() -> str:
    return _("about %(n)s questions to test it with") % {"n": ENOUGH_TESTS}


def letter(goal: Goal, advice: Advice) -> dict[str, Any]:
    """The template context of one letter."""
    what = Recommend(advice.recommendation)
    answers = Answers.read(advice.answers | advice.known)
    asked = screens(advice.known)
    reasons = advice.result["reasons"]
    notes = len(reasons) - advice.result.get("notes", 0)
    bars, sure = CONFIDENCE[advice.result["confidence"]]
    found = measured(goal)
    disagrees = found is not None and _disagrees(found, advice)
    tested = {_method_name(method) for method in found.tested} if found else set()
    return {
        "advice": advice,
        "measured": found,
        "advised": _headline(what, answers) if disagrees else "",
        "answered": sum(_is_answered(screen, advice.answers) for screen in asked),
        "headline": measured_headline(found) if found and disagrees else _headline(what, answers),
        "lead": LEAD[what],
        "reasons": [_reason(one, asked, advice) for one in reasons[:notes]],
        "notes": [_reason(one, asked, advice) for one in reasons[notes:]],
        "not_yet": [
            (_method_name(one["method"]), one["text"])
            for one in advice.result["not_yet"]
            if _method_name(one["method"]) not in tested
        ],
        "would_change": advice.result["would_change"],
        "bars": [n < bars for n in range(5)],
        "sure": sure,
        "doubts": [QUESTIONS[name].title for name in advice.result["doubts"]],
        "sources": advice.result["sources"],
        "answers": _answers(asked, answers, advice),
    }


class Place(TypedDict):
    """Where an answer was given; `screen` is "" for what was counted."""

    note: str
    screen: str


class QuotedAnswer(Place):
    words: str


class LetterReason(TypedDict):
    text: str
    quotes: list[QuotedAnswer]


class AnsweredQuestion(TypedDict):
    """A question with its answer; `screen` is the one to change it on."""

    title: Text
    words: str
    screen: str


class Changes(TypedDict):
    """What has become known since an advice; `today`: another headline, if it would change."""

    changed: list[str]
    today: str


def _disagrees(found: Measured, advice: Advice) -> bool:
    """Whether what was measured says something else than the advice."""
    keep = found.method is None and advice.recommendation == Recommend.GOOD_ENOUGH
    return found.conclusive and not keep and found.method != method_of(advice)


def _is_answered(screen: Screen, answers: SavedAnswers) -> bool:
    return any(answers.get(name) is not None for name in screen.names)


def _headline(what: Recommend, answers: Answers) -> str:
    if what != Recommend.COLLECT_PAIRS:
        return str(HEADLINE[what])
    more = pairs_missing(answers)
    return ngettext(
        "Collect about %(n)s more example first.", "Collect about %(n)s more examples first.", more
    ) % {"n": more}


def _method_name(method: str) -> str:
    return next(str(option.name) for option in METHOD_OPTIONS if option.method == method)


def _reason(one: ReasonJson, asked: list[Screen], advice: Advice) -> LetterReason:
    """A reason with the answers it refers to, and where each was given."""
    quotes: list[QuotedAnswer] = [
        {"words": words, **_place(name, asked, advice)} for name, words in one["you_said"].items()
    ]
    return {"text": one["text"], "quotes": quotes}


def _place(name: str, asked: list[Screen], advice: Advice) -> Place:
    if name in advice.known:
        counted = _("Found in your examples") if name == "private_data" else _("Counted here")
        return {"note": counted, "screen": ""}
    for number, screen in enumerate(asked, start=1):
        if name in screen.names:
            note = _("Your answer to question %(n)d") % {"n": number}
            return {"note": note, "screen": screen.name}
    return {"note": _("Your answer"), "screen": ""}


def _answers(asked: list[Screen], answers: Answers, advice: Advice) -> list[AnsweredQuestion]:
    rows: list[AnsweredQuestion] = []
    for screen in asked:
        given = answers.as_json()
        cards = {card.key: str(card.title) for card in screen.cards}
        words = cards.get(screen.chosen(given)) or ". ".join(
            QUESTIONS[name].words(given[name]) for name in screen.names if name in given
        )
        rows.append({"title": screen.title, "words": words, "screen": screen.name})
    for name, value in advice.known.items():
        question = QUESTIONS[name]
        rows.append({"title": question.title, "words": question.words(value), "screen": ""})
    return rows


# ---- What has changed since ----


def changes(goal: Goal, advice: Advice) -> Changes:
    before = advice.answers | advice.known
    facts = known_facts(goal)
    new = [fact.words for fact in facts if before.get(fact.name) != fact.value]
    today = advise(Answers.read(before | {fact.name: fact.value for fact in facts}))
    return {
        "changed": new,
        "today": str(HEADLINE.get(today.recommendation) or _("Collect more examples first."))
        if new and today.recommendation != advice.recommendation
        else "",
    }


def postponed_methods(goal: Goal) -> dict[str, str]:
    """For each method to postpone, the current reason. Empty without an advice."""
    advice = goal.advices.given().first()
    if advice is None:
        return {}
    today = advise(Answers.read(advice.answers | advice.known | known_values(goal)))
    return {later.method: later.text for later in today.not_yet}
