"""Candidates: a model with optional instructions, few-shot examples, documents and adapter."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import BaseModel, Thinking, thinking_of
from finetune_app.core.engine_protocol import INT8
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import ACTIVE, Job
from finetune_app.knowledge.models import Knowledge
from finetune_app.providers.models import Endpoint
from finetune_app.training.kept_steps import name_of_step
from finetune_app.training.models import Training


class CandidateKind(models.TextChoices):
    """Kinds of candidates, from the least effort to the most."""

    BASE = "base", _("Base model")
    PROMPT = "prompt", _("With a good prompt")
    RAG = "rag", _("With your documents")
    TUNED = "tuned", _("Tuned")
    COMBINED = "combined", _("Tuned, with your documents")


EFFORT = {kind.value: place for place, kind in enumerate(CandidateKind)}


class CandidateQuerySet(models.QuerySet["Candidate"]):
    def versions(self) -> "CandidateQuerySet":
        """Prompts that a user has saved as versions."""
        return self.filter(kind=CandidateKind.PROMPT, saved=True)


class Candidate(models.Model):
    """A model configuration that can answer, with a local base model or a remote endpoint.

    Immutable once evaluated (`frozen_at`): an edit creates a new revision.
    """

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="candidates")
    kind = models.CharField(max_length=8, choices=CandidateKind.choices)
    name = models.CharField(max_length=100)
    revision = models.PositiveIntegerField(default=1)  # of its kind, within the goal
    base_model = models.ForeignKey(
        BaseModel, null=True, blank=True, on_delete=models.PROTECT, related_name="candidates"
    )
    endpoint = models.ForeignKey(
        Endpoint, null=True, blank=True, on_delete=models.CASCADE, related_name="candidates"
    )
    instructions = models.TextField(blank=True)
    shots = models.JSONField(default=list)  # [{"prompt", "answer"}], from train only
    knowledge = models.ForeignKey(
        Knowledge, null=True, blank=True, on_delete=models.CASCADE, related_name="candidates"
    )
    knowledge_index = models.PositiveIntegerField(default=0)  # number of the pinned index
    passages = models.PositiveIntegerField(default=0)  # per question
    training = models.ForeignKey(
        Training, null=True, blank=True, on_delete=models.CASCADE, related_name="candidates"
    )
    adapter_sha256 = models.CharField(max_length=64, blank=True)  # see Training
    step = models.PositiveIntegerField(null=True, blank=True)  # of the training; None: the best
    # From the start if its weights are rounded: nf4 for QLoRA, int8 as chosen with a test.
    number_format = models.CharField(max_length=8, blank=True)
    sampling = models.JSONField(default=dict)  # {"temperature", "top_p"}; empty is greedy
    thinking = models.CharField(max_length=8, default=Thinking.NO, choices=Thinking.choices)
    saved = models.BooleanField(default=False)  # as a version, by a user
    created_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(null=True, blank=True)

    objects = CandidateQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="a_model_here_or_elsewhere",
                condition=Q(base_model=None, endpoint__isnull=False)
                | Q(base_model__isnull=False, endpoint=None),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_remote(self) -> bool:
        return self.endpoint_id is not None

    @property
    def in_8_bits(self) -> bool:
        return self.number_format == INT8

    @property
    def model_name(self) -> str:
        """The name of the endpoint or of the base model."""
        return str(self.endpoint.name if self.endpoint else self.base_model)

    @property
    def training_name(self) -> str:
        """ "training 3", or "training 3, step 120" of a step that is not its best; else ""."""
        return name_of_step(self.training, self.step) if self.training else ""

    @property
    def adapter_folder(self) -> str:
        """Relative; "" without a training."""
        return self.training.folder_of_step(self.step) if self.training else ""


class WorkbenchDraft(models.Model):
    """The prompt that a user is writing for a goal. A saved version of it is a Candidate."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="drafts")
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    base_model = models.ForeignKey(
        BaseModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    endpoint = models.ForeignKey(
        Endpoint, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    instructions = models.TextField(blank=True)
    shots = models.JSONField(default=list)  # [{"prompt", "answer"}], never from test
    sampling = models.JSONField(default=dict)
    proposal = models.TextField(blank=True)  # instructions proposed by a model
    proposed_by = models.CharField(max_length=120, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["goal", "by"], name="one_draft_a_person")]

    def __str__(self) -> str:
        return f"{self.by}'s draft for {self.goal}"

    def as_candidate(self) -> Candidate:
        """An unsaved candidate with the prompt and the model of the draft."""
        return Candidate(
            goal=self.goal,
            kind=CandidateKind.PROMPT,
            base_model=self.base_model,
            endpoint=self.endpoint,
            instructions=self.instructions.strip(),
            shots=self.shots,
            sampling=self.sampling,
            thinking=thinking_of(self.goal, self.base_model),
        )


class ValidationAnswerQuerySet(models.QuerySet["ValidationAnswer"]):
    def to_prompts(
        self, goal: Goal, candidate_fingerprints: list[str], prompt_fingerprints: list[str]
    ) -> "ValidationAnswerQuerySet":
        """Answers of these candidates to these prompts."""
        return self.filter(
            goal=goal,
            candidate_fingerprint__in=candidate_fingerprints,
            prompt_fingerprint__in=prompt_fingerprints,
        )


class ValidationAnswer(models.Model):
    """A stored answer to one validation prompt, so that the prompt is asked only once.

    The fingerprints are hashes of the candidate's configuration, and of the prompt with its
    expected answer: when either changes, the stored answer no longer applies.
    """

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="validation_answers")
    candidate_fingerprint = models.CharField(max_length=64)
    prompt_fingerprint = models.CharField(max_length=64)
    example_id = models.BigIntegerField()
    text = models.TextField(blank=True)
    passed = models.BooleanField(null=True)  # None: a person decides
    why = models.CharField(max_length=200, blank=True)
    measure_fingerprint = models.CharField(max_length=64, blank=True)  # of what judged it
    finish_reason = models.CharField(max_length=40, blank=True)
    seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ValidationAnswerQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["goal", "candidate_fingerprint", "prompt_fingerprint"],
                name="one_answer_per_validation_prompt",
            )
        ]

    def __str__(self) -> str:
        return f"answer to example {self.example_id}"


class SuggestionRunQuerySet(models.QuerySet["SuggestionRun"]):
    def active(self) -> "SuggestionRunQuerySet":
        """Runs whose job has not ended."""
        return self.filter(job__state__in=ACTIVE)


class SuggestionRun(models.Model):
    """A job in which a candidate suggests answers for rows that have none.

    The answers themselves are stored as datasets.Suggestion.
    """

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="suggestion_runs")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="suggestion_run")
    rows = models.PositiveIntegerField()  # that were requested
    refused = models.JSONField(default=list)  # keys of the rows that it could not answer
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SuggestionRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"suggestions by {self.candidate}"
