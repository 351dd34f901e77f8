"""A tuned model as a file of its own, to run it elsewhere."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.jobs.models import Job, State
from finetune_app.training.models import Training


class Form(models.TextChoices):
    """What can be made, as `form-number_format` of worker/exporting."""

    MERGED_BF16 = "merged-bf16", _("Merged model, bf16")
    MERGED_FP32 = "merged-fp32", _("Merged model, fp32")
    GGUF_Q8 = "gguf-q8_0", _("GGUF, q8_0")
    GGUF_F16 = "gguf-f16", _("GGUF, f16")


class Export(models.Model):
    """One form of one training. Made again, it is the same row, and begins from nothing."""

    training = models.ForeignKey(Training, on_delete=models.CASCADE, related_name="exports")
    form = models.CharField(max_length=16, choices=Form.choices)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="export")
    parity = models.JSONField(default=dict)  # see worker/exporting/parity.py; {} before the check
    file = models.CharField(max_length=120, blank=True)  # its name; set once it passed
    size = models.BigIntegerField(default=0)  # bytes
    sha256 = models.CharField(max_length=64, blank=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["training", "form"], name="one_export_a_form")
        ]

    def __str__(self) -> str:
        return f"{self.training}: {self.form}"

    @property
    def folder(self) -> str:
        return f"exports/{self.pk}"

    @property
    def kept_as(self) -> str:
        return f"{self.folder}/{self.file}"

    @property
    def is_ready(self) -> bool:
        """Only what passed the check has a file."""
        return bool(self.file) and self.job.state == State.SUCCEEDED
