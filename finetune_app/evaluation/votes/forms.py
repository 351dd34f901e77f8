"""A new link for votes, and a new voter."""

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from finetune_app.evaluation.votes.links import DAYS, DEFAULT_DAYS


class VoteLinkForm(forms.Form):
    """A new link for votes."""

    note = forms.CharField(
        label=_("What should they look at?"),
        required=False,
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_(
            "Voters read it above each pair, such as: “You are the customer. Which answer helps "
            "you more?” Name no model here."
        ),
    )
    days = forms.TypedChoiceField(
        label=_("It works for"),
        coerce=int,
        choices=lambda: [(days, ngettext("%d day", "%d days", days) % days) for days in DAYS],
        initial=DEFAULT_DAYS,
    )


class VoterForm(forms.Form):
    """Somebody without an account."""

    name = forms.CharField(
        label=_("Your name"),
        required=False,
        max_length=60,
        help_text=_("The team that asks you sees it beside the number of your votes."),
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
