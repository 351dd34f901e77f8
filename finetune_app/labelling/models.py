"""Drafts of answers. Labels and suggestions belong to the datasets app, whose filters and edits
read them."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.datasets.models import Example
from finetune_app.datasets.text import last_answer


class Draft(models.Model):
    """What a user has typed into an example and not saved yet. Only that user sees it."""

    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="drafts")
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    messages = models.JSONField(default=list)
    # The user's text that an accepted suggestion has replaced; after an undo, the suggestion.
    replaced = models.TextField(null=True)
    took = models.BooleanField(default=False)  # a suggestion has replaced the user's text
    at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["example", "by"], name="one_example_draft_a_person")
        ]

    def __str__(self) -> str:
        return f"draft of {self.example_id}"

    @property
    def text(self) -> str:
        return last_answer(self.messages)
