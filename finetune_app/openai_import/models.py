from django.db import models

from finetune_app.accounts.models import Team, User
from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob
from finetune_app.goals.models import Goal


class OpenAIImport(models.Model):
    """What a team brought from OpenAI, until a goal is made of it."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="openai_imports")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    # The files expire before long; what is made of them stays.
    training_file = models.ForeignKey(
        ApiFile, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    validation_file = models.ForeignKey(
        ApiFile, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    found = models.JSONField(default=dict)  # services.Found; empty without a training file
    job = models.JSONField(default=dict)  # openai_job.JobDescription
    suite = models.JSONField(default=dict)  # promptfoo.Suite; empty without a configuration
    # What came of it; the job is None where only tests were brought.
    goal = models.ForeignKey(Goal, null=True, on_delete=models.CASCADE, related_name="+")
    fine_tuning_job = models.ForeignKey(
        FineTuningJob, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"import {self.pk}"
