"""The three methods side by side: what each is good for, costs, takes, and what can go wrong."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from finetune_app.guide.steps import DOCUMENTS, INSTRUCTIONS, TRAINING, MethodOption


@dataclass(frozen=True)
class Risk:
    what: Promise
    answer: Promise  # what Finetune does about it


@dataclass(frozen=True)
class MethodProfile:
    option: MethodOption
    term: Promise  # what experts call it
    good_for: Promise
    cost: Promise
    time: Promise
    risks: tuple[Risk, ...]


METHODS = (
    MethodProfile(
        INSTRUCTIONS,
        _("prompt engineering"),
        _("A first try at anything, and whatever can be said in a page."),
        _("Nothing to build. Long instructions are paid for with every question."),
        _("An hour, and you can change them any day."),
        (
            Risk(
                _("They hold today and not tomorrow."),
                _(
                    "You see what they do to practice prompts, and the test counts how often they "
                    "hold."
                ),
            ),
        ),
    ),
    MethodProfile(
        DOCUMENTS,
        _("RAG, retrieval-augmented generation"),
        _("Facts: your prices, rules and papers, as they are today, with their source."),
        _("A little longer for each answer, for the passages it reads first."),
        _("As long as it takes to add the documents. They are read in minutes."),
        (
            Risk(
                _("It finds the wrong passage, and answers from that."),
                _("You see which passages it was shown, beside every answer."),
            ),
        ),
    ),
    MethodProfile(
        TRAINING,
        _("fine-tuning"),
        _("A behaviour: a skill, a style, a form, held steady without long instructions."),
        _("Examples are the price: fifty to begin with, better hundreds."),
        _("Minutes of computing for a small model; collecting examples can take weeks."),
        (
            Risk(
                _("It is expensive."),
                _(
                    "A small part of the model is trained (LoRA). "
                    "Time and memory are shown before you press Train."
                ),
            ),
            Risk(
                _("Good data takes weeks."),
                _(
                    "Checks find what is wrong with it, and the fix is one click. A pilot shows "
                    "early whether it pays."
                ),
            ),
            Risk(
                _("It forgets other things."),
                _("Each test also asks everyday questions, and says what was lost."),
            ),
            Risk(
                _("It takes expertise."),
                _("Every setting is chosen for you, each with its reason."),
            ),
        ),
    ),
)
