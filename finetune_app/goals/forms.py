"""The forms of step 1: the goal, and its measure."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.goals.measures import KINDS, MeasureError, MeasureSettings, Setting, get_measure
from finetune_app.goals.measures.base import MAX_AMOUNT
from finetune_app.goals.models import Goal, GoalKind, MeasureKind

PAIR_COUNT = 3  # pairs on the page; at least one must be filled in
KIND_HINTS = {
    GoalKind.FORMAT: _("Answers in exact lines, JSON, XML or commands"),
    GoalKind.TASK: _("Sort, extract, rewrite: one job, done the way you do it"),
    GoalKind.STYLE: _("Your voice: formal, brief, warm, like your brand"),
    GoalKind.BEHAVIOUR: _("Follow steps, stay short, decline what it should not do"),
    GoalKind.KNOWLEDGE: _("What your handbook, prices or rules say; it cannot know them"),
}
MEASURE_HINTS = {
    MeasureKind.EXACT: _(
        "Right when it says exactly what you would have said. For labels, short facts and fixed "
        "lines."
    ),
    MeasureKind.NUMBER: _("Right when it holds the number you wanted, or one that is near enough."),
    MeasureKind.REFUSAL: _(
        "Right when it declines where you would decline, and answers where you would answer."
    ),
    MeasureKind.JSON: _(
        "Right when it is valid JSON and the fields hold what you wanted. It can be partly right."
    ),
    MeasureKind.XML: _(
        "Right when it is valid XML and the fields hold what you wanted. It can be partly right."
    ),
    MeasureKind.ITEMS: _(
        "Right when it names the same things as you, in any order. It can be partly right."
    ),
    MeasureKind.BASH: _("Right when the command can be read as bash. It is never run."),
    MeasureKind.PATTERN: _(
        "Right when a pattern finds in its answer what it finds in yours. For order numbers, dates "
        "and codes inside a text."
    ),
    MeasureKind.CHOICE: _(
        "You look at two answers, names hidden, and pick the better. For style and tone."
    ),
    MeasureKind.CLOSE: _(
        "Graded by the pieces of words that it shares with yours. For translations and corrections."
    ),
    MeasureKind.ROUGE: _(
        "Graded by the words that it shares with yours, in the same order. For summaries."
    ),
    MeasureKind.MEANING: _(
        "Graded by how near it comes to yours in meaning, as a small model sees it. It hardly sees "
        "a wrong number or a missing “not”."
    ),
    MeasureKind.RULES: _(
        "Right when it keeps rules such as “at most 20 words”, “easy to read” or “never says "
        "sorry”. They cannot tell whether it is true."
    ),
}


class GoalForm(forms.ModelForm):  # type: ignore[type-arg]
    """What the model should do, with up to three example pairs."""

    class Meta:
        model = Goal
        fields = ["name", "description", "kind"]
        labels = {
            "name": _("A short name"),
            "description": _("What should the model do?"),
            "kind": _("What are you teaching?"),
        }
        help_texts = {
            "name": _("As you would call it among yourselves."),
            "description": _("In your own words, as you would explain it to a new colleague."),
        }
        widgets = {
            "name": forms.TextInput(
                attrs={"placeholder": _("Sort and answer shop emails"), "autocomplete": "off"}
            ),
            "description": forms.Textarea(
                attrs={
                    "rows": 4,
                    "placeholder": _(
                        "Read a customer's email and say what it is about and who "
                        "should answer it, in two fixed lines."
                    ),
                }
            ),
            "kind": forms.RadioSelect,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["description"].required = True
        kind = self.fields["kind"]
        assert isinstance(kind, forms.ChoiceField)
        kind.choices = _cards(GoalKind.choices, KIND_HINTS)
        saved = (self.instance.pairs or []) if self.instance.pk else []
        for number in range(PAIR_COUNT):
            pair = saved[number] if number < len(saved) else {}
            self.fields[f"prompt_{number}"] = forms.CharField(
                label=_("When I write"),
                required=False,
                initial=pair.get("prompt", ""),
                max_length=20_000,
                widget=forms.Textarea(attrs={"rows": 3}),
            )
            self.fields[f"answer_{number}"] = forms.CharField(
                label=_("it should answer"),
                required=False,
                initial=pair.get("answer", ""),
                max_length=20_000,
                widget=forms.Textarea(attrs={"rows": 3, "class": "model"}),
            )

    @property
    def pair_fields(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        return [
            (self[f"prompt_{number}"], self[f"answer_{number}"]) for number in range(PAIR_COUNT)
        ]

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        for number in range(PAIR_COUNT):
            prompt, answer = found.get(f"prompt_{number}"), found.get(f"answer_{number}")
            if prompt and not answer:
                self.add_error(f"answer_{number}", _("And what should it answer to that?"))
            if answer and not prompt:
                self.add_error(f"prompt_{number}", _("What do you write to get that answer?"))
        if not self.errors and not self.pairs():
            self.add_error("prompt_0", _("Give at least one pair, so that we know what you mean."))
        return found

    def pairs(self) -> list[dict[str, str]]:
        found = self.cleaned_data
        both = [
            (found[f"prompt_{n}"].strip(), found[f"answer_{n}"].strip()) for n in range(PAIR_COUNT)
        ]
        return [{"prompt": prompt, "answer": answer} for prompt, answer in both if prompt]


class MeasureForm(forms.Form):
    """The kind of measure, and the settings of each kind."""

    measure = forms.ChoiceField(
        label=_("How will you know it worked?"),
        choices=MeasureKind.choices,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, kind: str, settings: MeasureSettings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["measure"].initial = kind
        self.kind = self.data.get("measure", kind) if self.is_bound else kind
        for measure_kind, measure in KINDS.items():
            given = settings if measure_kind == kind else {}
            for name, setting in measure.settings_schema.items():
                field = _setting_field(setting, given.get(name, setting.default))
                self.fields[f"{measure_kind}-{name}"] = field

    def settings_of(self, kind: str) -> list[forms.BoundField]:
        return [self[f"{kind}-{name}"] for name in KINDS[kind].settings_schema]

    def clean(self) -> dict[str, Any]:
        found = super().clean() or self.cleaned_data
        kind = found.get("measure")
        # The page hides the settings of the other kinds, so their errors do not matter.
        for name in [name for name in self.errors if "-" in name]:
            if not name.startswith(f"{kind}-"):
                del self.errors[name]
        if kind and not self.errors:
            schema = KINDS[kind].settings_schema
            given = {name: _setting_value(schema[name], found[f"{kind}-{name}"]) for name in schema}
            self.chosen_settings = {n: value for n, value in given.items() if value is not None}
            try:
                get_measure(kind, self.chosen_settings)
            except MeasureError as error:
                self.add_error(None, str(error))
        return found


def _cards(choices: Any, hints: dict[Any, Any]) -> list[tuple[str, str]]:
    """Choices as cards: the first line of a label is bold, the rest is small."""
    return [(value, f"{label}\n{hints[value]}") for value, label in choices]


def _setting_field(setting: Setting, initial: Any) -> forms.Field:
    common = {"label": _(setting.label), "required": False, "initial": initial}
    if setting.type == "switch":
        return forms.BooleanField(**common)
    if setting.type == "count":
        return forms.IntegerField(**common, min_value=1, max_value=100_000)
    if setting.type == "share":
        return forms.FloatField(**common, min_value=0.01, max_value=1)
    if setting.type == "amount":
        return forms.FloatField(**common, min_value=0, max_value=MAX_AMOUNT)
    if setting.type == "choice":
        choices = [(choice, choice.replace("_", " ")) for choice in setting.choices]
        return forms.ChoiceField(**common, choices=choices)
    if setting.type == "list":
        common["initial"] = "\n".join(initial or [])
        return forms.CharField(
            **common,
            max_length=10_000,
            help_text=_("One a line."),
            widget=forms.Textarea(attrs={"rows": 3}),
        )
    return forms.CharField(**common, max_length=1_000)


def _setting_value(setting: Setting, given: Any) -> Any:
    if setting.type == "list":
        return [line.strip() for line in (given or "").splitlines() if line.strip()]
    if setting.type == "choice":
        return given or None
    return given
