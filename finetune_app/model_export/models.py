"""A tuned model exported to a file that runs outside Finetune."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.jobs.models import Job, State
from finetune_app.training.models import Training


class ExportFormat(models.TextChoices):
    """`container-number_format` of job_messages.ExportSpec."""

    MERGED_BF16 = "merged-bf16", _("Merged model, bf16")
    MERGED_FP32 = "merged-fp32", _("Merged model, fp32")
    GGUF_Q8 = "gguf-q8_0", _("GGUF, q8_0")
    GGUF_F16 = "gguf-f16", _("GGUF, f16")


class ModelExport(models.Model):
    """One training, or a kept step of it, exported to one format.

    A failed or stopped export that is requested again is replaced by a new row.
    """

    training = models.ForeignKey(Training, on_delete=models.CASCADE, related_name="exports")
    step = models.PositiveIntegerField(null=True, blank=True)  # None: the best one
    format = models.CharField(max_length=16, choices=ExportFormat.choices)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="model_export")
    parity = models.JSONField(default=dict)  # job_messages.ParityResult; {} before the check
    file = models.CharField(max_length=120, blank=True)  # file name, set once the check passed
    size = models.BigIntegerField(default=0)  # bytes
    sha256 = models.CharField(max_length=64, blank=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["training", "format"],
                condition=models.Q(step=None),
                name="one_export_a_format",
            ),
            models.UniqueConstraint(
                fields=["training", "step", "format"], name="one_export_a_step_and_format"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.training}: {self.format}"

    @property
    def folder(self) -> str:
        return f"exports/{self.pk}"

    @property
    def stored_name(self) -> str:
        """Path of the file below DATA_DIR."""
        return f"{self.folder}/{self.file}"

    @property
    def is_ready(self) -> bool:
        """Whether it can be downloaded: only an export that passed its check has a file."""
        return bool(self.file) and self.job.state == State.SUCCEEDED


class HubPush(models.Model):
    """A tuned model sent to a repository of the hub: the adapter, or a checked export.

    Unlike an export it is kept when it failed: it says what may lie on the hub.
    """

    ADAPTER = "adapter"
    CHOICES = [(ADAPTER, _("Adapter")), *ExportFormat.choices]

    training = models.ForeignKey(Training, on_delete=models.CASCADE, related_name="hub_pushes")
    step = models.PositiveIntegerField(null=True, blank=True)  # None: the best one
    format = models.CharField(max_length=16, choices=CHOICES)
    export = models.ForeignKey(  # whose file is pushed; None for the adapter
        ModelExport, null=True, blank=True, on_delete=models.SET_NULL, related_name="pushes"
    )
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="hub_push")
    repository = models.CharField(max_length=200)  # account/name
    public = models.BooleanField(default=False)
    licence = models.CharField(max_length=80, blank=True)  # of the base model, as it was agreed to
    files = models.JSONField(default=dict)  # path there -> sha256; set when all of it is there
    commit = models.CharField(max_length=64, blank=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.training} to {self.repository}"

    @property
    def folder(self) -> str:
        """For what is being sent."""
        return f"pushes/{self.pk}"
