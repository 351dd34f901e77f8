import uuid
from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from finetune_app.accounts.models import Team
from finetune_app.basemodels.automatic_settings import SUPERVISED
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training


class Purpose(models.TextChoices):
    """OpenAI's names of what a file is for."""

    FINE_TUNE = "fine-tune"
    RESULTS = "fine-tune-results"
    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


LONGEST_START = timedelta(hours=1)  # from the request to a queued training
UPLOADED = (Purpose.FINE_TUNE, Purpose.BATCH)  # the others are written here


class ApiFileQuerySet(models.QuerySet["ApiFile"]):
    def expired(self) -> "ApiFileQuerySet":
        return self.filter(expires_at__lte=timezone.now())

    def not_expired(self) -> "ApiFileQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


class ApiFile(models.Model):
    """A file that a program has uploaded, for training or as a batch, or what came of it."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_files")
    name = models.CharField(max_length=200)
    purpose = models.CharField(max_length=20, default=Purpose.FINE_TUNE)
    storage_path = models.CharField(max_length=200)  # below DATA_DIR
    size = models.BigIntegerField()  # bytes
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True)  # None: it stays until somebody deletes it

    objects = ApiFileQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def api_id(self) -> str:
        return f"file-{self.public_id.hex}"

    @property
    def path_of_upload(self) -> str:
        """Where it is stored unless that name is taken; in a folder of its own."""
        return f"api-files/{self.public_id.hex}/upload"


class ApiUpload(models.Model):
    """A file that a program sends in parts. When it is complete it becomes an ApiFile."""

    class Status(models.TextChoices):
        PENDING = "pending"
        COMPLETED = "completed"
        CANCELLED = "cancelled"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_uploads")
    name = models.CharField(max_length=200)
    purpose = models.CharField(max_length=20, default=Purpose.FINE_TUNE)
    size = models.BigIntegerField()  # bytes, as announced
    file_lifetime = models.DurationField(null=True)  # None: the file stays
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    file = models.OneToOneField(  # set when it is completed
        ApiFile, null=True, on_delete=models.SET_NULL, related_name="upload"
    )
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()  # nothing is taken after it

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def api_id(self) -> str:
        return f"upload_{self.public_id.hex}"

    @property
    def folder(self) -> str:
        """Of its parts."""
        return f"api-files/{self.public_id.hex}"

    @property
    def is_expired(self) -> bool:
        return self.status == self.Status.PENDING and self.expires_at <= timezone.now()


class ApiUploadPart(models.Model):
    """Bytes of an upload. Their order is told when it is completed."""

    upload = models.ForeignKey(ApiUpload, on_delete=models.CASCADE, related_name="parts")
    storage_path = models.CharField(max_length=200)  # below the folder of the upload
    size = models.BigIntegerField()  # bytes
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.api_id

    @property
    def api_id(self) -> str:
        return f"part_{self.public_id.hex}"


class FineTuningJobQuerySet(models.QuerySet["FineTuningJob"]):
    def with_status(self) -> "FineTuningJobQuerySet":
        """With the relations that the job's status and response need."""
        return self.select_related("training__job", "training__version", "result_file")

    def with_metadata(self, wanted: dict[str, str]) -> "FineTuningJobQuerySet":
        """Those whose metadata has all of `wanted`; {}: those without metadata.

        Compared here, because SQLite cannot ask whether one JSON object contains another.
        """
        found = self.values_list("pk", "metadata")
        return self.filter(
            pk__in=[
                pk
                for pk, metadata in found
                if (wanted.items() <= metadata.items() if wanted else not metadata)
            ]
        )

    def with_adapter(self) -> "FineTuningJobQuerySet":
        return self.exclude(training=None).exclude(training__adapter_sha256="")


class FineTuningJob(models.Model):
    """A job that a program has created, with its goal and training."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="fine_tuning_jobs")
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="fine_tuning_job")
    # None until it is ready to be queued, or if the file was invalid; `problem` then says why.
    training = models.OneToOneField(
        Training, null=True, on_delete=models.CASCADE, related_name="fine_tuning_job"
    )
    problem = models.TextField(blank=True)
    problem_param = models.CharField(max_length=20, default="training_file")  # which file it is
    notices = models.JSONField(default=list)  # sentences about keys of the files that are not read
    # As the program named it: a base model, or the tuned model of an earlier job.
    model = models.CharField(max_length=255)
    suffix = models.CharField(max_length=64, blank=True)
    seed = models.PositiveIntegerField(default=17)
    metadata = models.JSONField(default=dict)
    training_file = models.CharField(max_length=64)  # public ids: the files may be deleted later
    validation_file = models.CharField(max_length=64, blank=True)
    result_file = models.OneToOneField(  # None before it has succeeded, or where it was deleted
        ApiFile, null=True, on_delete=models.SET_NULL, related_name="result_of"
    )
    method = models.CharField(max_length=20, default=SUPERVISED)
    hyperparameters = models.JSONField(default=dict)  # as requested: numbers, or "auto"
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = FineTuningJobQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.api_id

    @property
    def api_id(self) -> str:
        return f"ftjob-{self.public_id.hex}"

    @property
    def base_model(self) -> str:
        """The second part of a tuned model's name is the base model's."""
        return self.model.split(":")[1] if self.model.startswith("ft:") else self.model

    @property
    def tuned_model_name(self) -> str:
        """The name of the tuned model in the API."""
        return f"ft:{self.base_model}:team-{self.team_id}:{self.suffix}:{self.public_id.hex[:8]}"

    @property
    def was_cut_off(self) -> bool:
        """Whether the process that made it ready is gone: that takes minutes at most."""
        is_old = timezone.now() - self.created_at > LONGEST_START
        return self.training is None and not self.problem and is_old

    def checkpoint_name(self, step: int) -> str:
        """The name of a kept step of it, as OpenAI writes it."""
        return f"{self.tuned_model_name}:ckpt-step-{step}"
