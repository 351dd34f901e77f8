"""Trainings: a frozen spec, the learning curve, sample answers, and what was learned."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.basemodels.automatic_settings import FULL, QLORA, SUPERVISED
from finetune_app.basemodels.models import BaseModel
from finetune_app.core.thinking import NO
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job
from finetune_app.training.best_step import step_name
from finetune_app.training.protocol import ADAPTER, MODEL
from finetune_app.versions.models import Version


class TrainingQuerySet(models.QuerySet["Training"]):
    def with_adapter(self) -> "TrainingQuerySet":
        """Those that have produced an adapter, or a whole model."""
        return self.exclude(adapter_sha256="")


class Training(models.Model):
    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="trainings")
    number = models.PositiveIntegerField()
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="trainings")
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="trainings")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="training")
    spec = models.JSONField(default=dict)  # frozen; see worker/training/spec.py
    # Folder of its files, where they came from elsewhere; else that of its number.
    stored_in = models.CharField(max_length=80, blank=True)
    # What was expected when it started, see estimates.Estimate.as_json.
    estimate = models.JSONField(default=dict)
    # Of the adapter's weights, or of the whole model's where every weight was trained; set when
    # there is one.
    adapter_sha256 = models.CharField(max_length=64, blank=True)
    size = models.BigIntegerField(default=0)  # bytes of what was learned, with its kept steps
    warnings = models.JSONField(default=list)  # sentences: what does not fit, or is not learned
    starts_from = models.ForeignKey(  # its adapter is trained further; None: the base model
        "self", null=True, on_delete=models.SET_NULL, related_name="continued_by"
    )
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TrainingQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["goal", "number"], name="one_training_number")
        ]

    def __str__(self) -> str:
        return f"training {self.number}"

    @property
    def method(self) -> str:
        """See `worker/training/spec.py`."""
        return str(self.spec.get("method", SUPERVISED))

    @property
    def thinking(self) -> str:
        return str(self.spec.get("thinking", NO))

    @property
    def folder(self) -> str:
        return self.stored_in or f"runs/{self.pk}"

    @property
    def is_full(self) -> bool:
        """Whether every weight was trained, so that the result is a whole model."""
        return bool(self.spec.get("tuning") == FULL)

    @property
    def is_qlora(self) -> bool:
        """Whether its adapter was learned beside weights in 4-bit, with which it is used."""
        return bool(self.spec.get("tuning") == QLORA)

    @property
    def adapter_folder(self) -> str:
        return f"{self.folder}/{ADAPTER}"

    @property
    def result_folder(self) -> str:
        """Of the adapter or of the whole model."""
        return f"{self.folder}/{MODEL}" if self.is_full else self.adapter_folder

    @property
    def weights_file(self) -> str:
        """The file in `result_folder` that `adapter_sha256` is of."""
        return "model.safetensors" if self.is_full else "adapter_model.safetensors"

    def folder_of_step(self, step: int | None) -> str:
        """Folder of the adapter of a kept step; None is the best step, or the whole model."""
        return self.result_folder if step is None else f"{self.folder}/steps/{step_name(step)}"


class PointQuerySet(models.QuerySet["Point"]):
    def kept(self) -> "PointQuerySet":
        """Those beside the best one whose adapters are kept."""
        return self.exclude(adapter_sha256="")


class Point(models.Model):
    """One step of the learning curve; see `protocol.CurvePoint`."""

    training = models.ForeignKey(Training, on_delete=models.CASCADE, related_name="points")
    step = models.PositiveIntegerField()
    epoch = models.FloatField(default=0)
    loss = models.FloatField(null=True)
    accuracy = models.FloatField(null=True)  # of tokens, as protocol.py says
    validation_loss = models.FloatField(null=True)
    validation_accuracy = models.FloatField(null=True)
    validation_score = models.FloatField(null=True)
    general_ability = models.FloatField(null=True)
    tokens_per_second = models.FloatField(null=True)
    memory_bytes = models.BigIntegerField(null=True)
    adapter_sha256 = models.CharField(max_length=64, blank=True)  # set when it is kept
    # None: from before this was recorded.
    recorded_at = models.DateTimeField(null=True, auto_now_add=True)

    objects = PointQuerySet.as_manager()

    class Meta:
        ordering = ["step"]
        constraints = [
            models.UniqueConstraint(fields=["training", "step"], name="one_point_a_step")
        ]

    def __str__(self) -> str:
        return f"step {self.step}"


class SampleAnswer(models.Model):
    """The model's answer to a validation prompt after a step; see `protocol.SampleEvent`."""

    training = models.ForeignKey(Training, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    index = models.PositiveIntegerField()  # which prompt: 0, 1
    prompt = models.TextField()
    wanted = models.TextField()
    answer = models.TextField()
    passed = models.BooleanField(null=True)
    why = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["index", "step"]
        constraints = [
            models.UniqueConstraint(
                fields=["training", "step", "index"], name="one_sample_a_step_and_prompt"
            )
        ]

    def __str__(self) -> str:
        return f"step {self.step}, prompt {self.index}"
