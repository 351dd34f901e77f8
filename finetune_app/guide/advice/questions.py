"""The texts of the questions and of their answers, for the pages and for quoting."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from finetune_app.guide.advice.answers import Answers

Text = str | Promise
Value = str | int | bool


@dataclass(frozen=True)
class AnswerChoice:
    value: Value
    title: Text  # the card, and how the answer is quoted back
    hint: Text
    condition: Text  # "If the facts changed every week": for what would change the advice


@dataclass(frozen=True)
class Question:
    name: str
    title: Text
    help: Text
    why: Text  # why we ask
    choices: tuple[AnswerChoice, ...]
    one: str = ""  # of a count: "%(n)s example"
    many: str = ""

    def words(self, value: Value) -> str:
        """The answer as it is quoted back."""
        for choice in self.choices:
            if choice.value == value and type(choice.value) is type(value):
                return str(choice.title)
        return ngettext(self.one, self.many, int(value)) % {"n": f"{int(value):,}"}


IMPROVE = Question(
    "improve",
    _("What should get better?"),
    _("Pick what bothers you most. You can come back and change it."),
    _(
        "Form and tone are things that a model can be taught with examples. Facts are better "
        "looked up, because they change. This answer separates the two."
    ),
    (
        AnswerChoice(
            "facts",
            _("It does not know our facts"),
            _("Prices, rules, products: what is written in your own papers"),
            _("If it were facts that it lacks"),
        ),
        AnswerChoice(
            "tone",
            _("It sounds wrong"),
            _("Too formal, too long, too cheerful: not your voice"),
            _("If it were the tone that should get better"),
        ),
        AnswerChoice(
            "format",
            _("It answers in the wrong form"),
            _("The right idea, but not the lines, fields or layout you need"),
            _("If it were the form that should get better"),
        ),
        AnswerChoice(
            "task",
            _("It does one task unreliably"),
            _("The same job again and again: sort, extract, rewrite, summarise"),
            _("If it were one task that should get better"),
        ),
        AnswerChoice(
            "skill",
            _("It cannot do something yet"),
            _("A way of working that it would have to learn"),
            _("If it were a new skill that it should learn"),
        ),
        AnswerChoice(
            "unsure",
            _("I cannot say yet"),
            _("The answers are just not right somehow"),
            _("If you could not say what should get better"),
        ),
    ),
)

TRIED_PROMPT = Question(
    "tried_prompt",
    _("Have you tried clear instructions with a few examples?"),
    _("A page that says what you want, with three to five examples of good answers."),
    _(
        "It is the cheapest thing that could work. What goes wrong with it says what is needed: "
        "facts that are missing, or a way of answering that does not hold."
    ),
    (
        AnswerChoice(
            "no",
            _("Not yet"),
            _("Or only in a sentence or two"),
            _("If you had not tried a prompt yet"),
        ),
        AnswerChoice(
            "good_enough",
            _("Yes, and it is good enough"),
            _("You could leave it as it is"),
            _("If a good prompt turned out to be good enough"),
        ),
        AnswerChoice(
            "inconsistent",
            _("Yes, it is right one day and wrong the next"),
            _("The same question gets different answers"),
            _("If a good prompt gave uneven answers"),
        ),
        AnswerChoice(
            "lacks_facts",
            _("Yes, but it lacks the facts"),
            _("It cannot know what is only in your papers, or makes it up"),
            _("If a good prompt turned out to lack the facts"),
        ),
    ),
)

FACTS_CHANGE = Question(
    "facts_change",
    _("How often do the facts in its answers change?"),
    _("Prices, opening hours, rules, stock: whatever has to be right."),
    _(
        "What a model has learned stays as it was on the day it was trained. What it looks up is "
        "as new as your documents."
    ),
    (
        AnswerChoice(
            "never",
            _("Hardly ever"),
            _("Or its answers hold no facts of yours"),
            _("If the facts hardly ever changed"),
        ),
        AnswerChoice("monthly", _("Every month or so"), "", _("If the facts changed every month")),
        AnswerChoice("weekly", _("Every week"), "", _("If the facts changed every week")),
        AnswerChoice("daily", _("Every day"), "", _("If the facts changed every day")),
    ),
)

NEEDS_SOURCES = Question(
    "needs_sources",
    _("Must an answer name its source?"),
    _("The page, the paragraph, the document."),
    _("A model cannot say where it learned something. It can name what was put before it."),
    (
        AnswerChoice(
            True,
            _("Yes, it has to name its source"),
            _("Somebody will want to look it up"),
            _("If answers had to name their source"),
        ),
        AnswerChoice(
            False, _("No"), _("The answer is enough"), _("If answers need not name their source")
        ),
    ),
)

DOCUMENTS = Question(
    "documents",
    _("Do you have documents that hold the answers?"),
    _("Handbooks, price lists, rules, old reports: anything it could read first."),
    _("Search needs something to search. A few pages can simply be pasted into the instructions."),
    (
        AnswerChoice(
            0,
            _("No, nothing written down"),
            _("Or nothing that holds the answers"),
            _("If there were no documents"),
        ),
        AnswerChoice(
            2,
            _("A few pages"),
            _("One to three short documents"),
            _("If there were only a few pages to read"),
        ),
        AnswerChoice(10, _("About ten"), "", _("If there were about ten documents")),
        AnswerChoice(50, _("Dozens or more"), "", _("If there were dozens of documents")),
    ),
    one="%(n)s document",
    many="%(n)s documents",
)

PAIRS = Question(
    "pairs",
    _("How many good examples do you have?"),
    _(
        "An example is what somebody writes, and the answer you would give: e-mails with replies, "
        "notes with reports."
    ),
    _(
        "A model learns nothing steady from fewer than ten. Fifty make a pilot; from a hundred on "
        "it gets reliable. Good ones matter more than many."
    ),
    (
        AnswerChoice(0, _("None yet"), "", _("If you had no examples")),
        AnswerChoice(
            5, _("A handful"), _("About five"), _("If you had only a handful of examples")
        ),
        AnswerChoice(25, _("A few dozen"), _("About 25"), _("If you had only about 25 examples")),
        AnswerChoice(
            70, _("More than fifty"), _("About 70"), _("If you had more than 50 examples")
        ),
        AnswerChoice(200, _("Hundreds"), _("200 or more"), _("If you had hundreds of examples")),
    ),
    one="%(n)s example",
    many="%(n)s examples",
)

TEST_QUESTIONS = Question(
    "test_questions",
    _("Have you kept questions aside to test it with?"),
    _("Questions whose right answers you know, and which it has never seen."),
    _(
        "“It looks better” is how people fool themselves. About 20 questions tell a real "
        "difference from chance."
    ),
    (
        AnswerChoice(0, _("No"), "", _("If there were no test questions")),
        AnswerChoice(5, _("A few"), _("About five"), _("If there were only a few test questions")),
        AnswerChoice(20, _("About twenty or more"), "", _("If you had about 20 test questions")),
    ),
    one="%(n)s test question",
    many="%(n)s test questions",
)

PRIVATE_DATA = Question(
    "private_data",
    _("Is there private data in it?"),
    _("Names, addresses, health, money: what not everybody may read."),
    _("A trained model may repeat what it read, and a search shows what the documents say."),
    (
        AnswerChoice(
            True,
            _("Yes, there is private data"),
            _("About customers, patients, staff"),
            _("If there were private data in it"),
        ),
        AnswerChoice(
            False,
            _("No private data"),
            _("Everybody may read it"),
            _("If there were no private data in it"),
        ),
    ),
)

HEAVY_USE = Question(
    "heavy_use",
    _("Will it be used so much that cost or waiting matters?"),
    _("Thousands of questions a day, or pages of instructions with each of them."),
    _(
        "Long instructions are paid for with every question. A model that has learned the task "
        "needs few."
    ),
    (
        AnswerChoice(
            True,
            _("Yes, used very much"),
            _("Or with very long instructions"),
            _("If it were used so much that it cost too much"),
        ),
        AnswerChoice(
            False,
            _("No, now and then"),
            _("Cost and waiting hardly matter"),
            _("If it were used only now and then"),
        ),
    ),
)

QUESTIONS = {
    question.name: question
    for question in (
        IMPROVE,
        TRIED_PROMPT,
        FACTS_CHANGE,
        NEEDS_SOURCES,
        DOCUMENTS,
        PAIRS,
        TEST_QUESTIONS,
        PRIVATE_DATA,
        HEAVY_USE,
    )
}


def quoted(name: str, answers: Answers) -> str:
    """What a person answered, in the words they chose; "" when they did not."""
    value = getattr(answers, name)
    return "" if value is None else QUESTIONS[name].words(value)
