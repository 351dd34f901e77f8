"""Step 3: base models, the choice of one, and installs."""

from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import models
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.basemodels.job_messages import KEPT
from finetune_app.core import charts, thinking
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job


class Thinking(models.TextChoices):
    """Whether a model thinks before it answers; see core/thinking.py."""

    NO = thinking.NO, _("No")
    SHORT = thinking.SHORT, _("Short")
    YES = thinking.YES, _("Yes")


class BaseModel(models.Model):
    """An installed model; it can be trained while its files are present. The catalogue
    (catalogue.toml) also lists models that are not installed."""

    slug = models.SlugField(max_length=120, unique=True)  # folder below models/
    name = models.CharField(max_length=120)
    source = models.CharField(max_length=300)  # hub id, local folder, or package
    revision = models.CharField(max_length=80, blank=True)
    licence = models.CharField(max_length=80, blank=True)
    gated = models.BooleanField(default=False)  # its maker asks for an account and an agreement
    architecture = models.CharField(max_length=80, blank=True)
    parameters = models.BigIntegerField(default=0)
    context = models.PositiveIntegerField(default=0)  # tokens
    size = models.BigIntegerField(default=0)  # bytes on disk
    files = models.JSONField(default=dict)  # name -> sha256
    shape = models.JSONField(default=dict, blank=True)  # see job_messages.ModelDimensions
    can_think = models.BooleanField(default=False)  # before it answers, or not, as it is asked
    team = models.ForeignKey(
        Team, null=True, blank=True, on_delete=models.CASCADE, related_name="base_models"
    )  # None: for everybody (starter, catalogue); else for this team only
    installed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["parameters"]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> str:
        return f"models/{self.slug}"

    @property
    def kept_folder(self) -> str:
        """What trainings keep of it for later ones (worker/training/replay)."""
        return f"models/{KEPT}/{self.slug}"

    @property
    def is_here(self) -> bool:
        """Whether its files are present: a restored backup has the row without them."""
        name = f"{self.folder}/config.json"
        return (Path(settings.DATA_DIR) / name).exists() or default_storage.exists(name)


class BaseModelChoice(models.Model):
    """The base model a goal starts from."""

    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="base_choice")
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="choices")
    thinking = models.CharField(max_length=8, default=Thinking.NO, choices=Thinking.choices)
    chosen_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    chosen_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.goal}: {self.base_model}"


def thinking_of(goal: Goal, base_model: BaseModel | None) -> str:
    """How a model of this goal thinks without a training. Remote ones decide for themselves."""
    if base_model is None or not base_model.can_think:
        return Thinking.NO
    choice = BaseModelChoice.objects.filter(goal=goal, base_model=base_model).first()
    return choice.thinking if choice else Thinking.NO


FATAL_INSTALL_ERRORS = ("bad_model", "not_found")  # the files are useless, another attempt too


class Install(models.Model):
    """The installation of a base model from a hub id or a local folder."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="install")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="installs")
    slug = models.SlugField(max_length=120)
    name = models.CharField(max_length=120)
    source = models.CharField(max_length=300)
    from_folder = models.BooleanField(default=False)
    revision = models.CharField(max_length=40, blank=True)  # commit agreed to; "" is the latest
    licence = models.CharField(max_length=80, blank=True)
    licence_accepted_by = models.ForeignKey(
        User, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"install {self.name}"

    @property
    def folder(self) -> str:
        """Folder for its files until they are complete."""
        return f"installs/{self.slug}-{self.pk}"

    @property
    def bar(self) -> SafeString:
        return charts.thin_bar(self.job.done, self.job.total)

    @property
    def can_continue(self) -> bool:
        """False if another attempt would fail in the same way."""
        return self.job.can_continue and self.job.error_code not in FATAL_INSTALL_ERRORS


class HubToken(models.Model):
    """A team's access token of the hub, for gated models and for what is pushed. Encrypted, never
    shown. Whose it is, as the hub said when it was tried; empty from before that was asked."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="hub_token")
    secret = models.TextField(_("encrypted token"))
    account = models.CharField(max_length=96, blank=True)
    organisations = models.JSONField(default=list, blank=True)  # names of those it belongs to
    role = models.CharField(max_length=24, blank=True)  # "read", "write", "fineGrained"
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return "hub token"

    @property
    def namespaces(self) -> list[str]:
        """Where something could be pushed to: the account itself, then its organisations."""
        return [name for name in (self.account, *self.organisations) if name]


class Speed(models.Model):
    """Measured speed and memory of a model on a device, used by estimates."""

    base_model = models.ForeignKey(BaseModel, on_delete=models.CASCADE, related_name="speeds")
    what = models.CharField(max_length=20)  # "training" or "evaluation"
    device = models.CharField(max_length=160, blank=True)  # Machine.device
    tokens_per_second = models.FloatField()  # training tokens, see training_work.py
    tokens_per_step = models.FloatField(default=0)
    peak_memory_bytes = models.BigIntegerField(default=0)
    number_format = models.CharField(max_length=8, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.what}: {self.tokens_per_second:.0f} tokens/s"
