"""One question: a card, or a number where things are counted."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.guide.advice.answers import MAX_COUNT
from finetune_app.guide.advice.questions import Value
from finetune_app.guide.wizard.question_screens import SavedAnswers, Screen


class AnswerForm(forms.Form):
    answer = forms.ChoiceField(required=False, widget=forms.RadioSelect)

    def __init__(self, data: Any, *, screen: Screen, answers: SavedAnswers) -> None:
        chosen = screen.chosen(answers)
        super().__init__(data, initial={"answer": chosen})
        self.screen = screen
        field = self.fields["answer"]
        assert isinstance(field, forms.ChoiceField)
        field.label = str(screen.title)
        field.choices = [
            (card.key, f"{card.title}\n{card.hint}" if card.hint else card.title)
            for card in screen.cards
        ]
        if screen.counts:
            exact = None if chosen else answers.get(screen.name)
            self.fields["number"] = forms.IntegerField(
                label=_("Or the number, if you know it"),
                required=False,
                min_value=0,
                max_value=MAX_COUNT,
                initial=exact,
            )

    def given(self) -> dict[str, Value] | None:
        """The answers, or None without any. A number that was typed wins over the card."""
        found = self.cleaned_data
        number = found.get("number")
        if number is not None and ("number" in self.changed_data or not found["answer"]):
            return {self.screen.name: number}
        cards = {card.key: card.gives for card in self.screen.cards}
        return cards.get(found["answer"])
