"""Forms: what is brought, and what is made of it."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.models import BaseModel
from finetune_app.fine_tuning_api.job_request import (
    MAX_BATCH_SIZE,
    MAX_EPOCHS,
    MAX_RATE_MULTIPLIER,
)
from finetune_app.openai_import import promptfoo


class BringForm(forms.Form):
    training_file = forms.FileField(
        label=_("Training file"),
        required=False,
        help_text=_("The .jsonl file that you uploaded to OpenAI."),
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.json,.txt"}),
    )
    validation_file = forms.FileField(
        label=_("Validation file"),
        required=False,
        help_text=_("If the job had one. Half of it is sealed for the test."),
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.json,.txt"}),
    )
    job_file = forms.FileField(
        label=_("The job"),
        required=False,
        help_text=_(
            "What client.fine_tuning.jobs.retrieve(ID).to_json() returns, as a .json file: its "
            "settings are taken over."
        ),
        widget=forms.FileInput(attrs={"accept": ".json"}),
    )
    suite_file = forms.FileField(
        label=_("Promptfoo configuration"),
        required=False,
        help_text=_(
            "What OpenAI's Evals export. Its tests become sealed test examples, its assertions "
            "the measure."
        ),
        widget=forms.FileInput(attrs={"accept": ".yaml,.yml,.json"}),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors and not data.get("training_file") and not data.get("suite_file"):
            raise forms.ValidationError(
                _("Choose a training file, a Promptfoo configuration, or both.")
            )
        if data.get("validation_file") and not data.get("training_file"):
            self.add_error("validation_file", _("It needs the training file beside it."))
        suite = data.get("suite_file")
        if suite and suite.size > promptfoo.MAX_BYTES:
            self.add_error("suite_file", _("It is larger than 5 MB."))
        return data


class MakeForm(forms.Form):
    """What becomes of it. The settings of the training are left out where nothing is trained."""

    name = forms.CharField(
        label=_("Name of the goal"),
        max_length=64,
        error_messages={"required": _("Give the goal a name.")},
    )
    base_model = forms.ChoiceField(
        label=_("Model to train here"),
        help_text=_("OpenAI's models run at OpenAI alone. These are installed here."),
    )
    n_epochs = forms.IntegerField(
        label=_("Passes at most"), required=False, min_value=1, max_value=MAX_EPOCHS
    )
    batch_size = forms.IntegerField(
        label=_("Examples in a step"), required=False, min_value=1, max_value=MAX_BATCH_SIZE
    )
    learning_rate_multiplier = forms.FloatField(
        label=_("Factor on the learning rate"),
        required=False,
        min_value=0.001,
        max_value=MAX_RATE_MULTIPLIER,
    )

    def __init__(
        self, *args: Any, base_models: list[BaseModel], trains: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if trains:
            choice = self.fields["base_model"]
            assert isinstance(choice, forms.ChoiceField)
            choice.choices = [(one.slug, one.name) for one in base_models]
            for name in ("n_epochs", "batch_size", "learning_rate_multiplier"):
                self.fields[name].help_text = _("Empty: chosen for these examples and this model.")
        else:
            self.fields = {"name": self.fields["name"]}
