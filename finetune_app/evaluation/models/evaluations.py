"""Step 5: evaluations of candidates on the same frozen prompts, with their verdict."""

from collections import defaultdict

from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.candidates.models import EFFORT, Candidate, CandidateKind
from finetune_app.core.engine_protocol import INT8
from finetune_app.evaluation.held_out import HeldOutPrompt, read_test_prompts
from finetune_app.goals.measures import Measure, get_measure
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import ACTIVE, Job, State
from finetune_app.versions.models import Version


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    def active(self) -> "EvaluationQuerySet":
        """Waiting or running."""
        return self.filter(job__state__in=ACTIVE)

    def succeeded(self) -> "EvaluationQuerySet":
        return self.filter(job__state=State.SUCCEEDED)

    def without_rechecks(self) -> "EvaluationQuerySet":
        """Those that people started. A recheck repeats a part of one of them, to see how what is
        live is doing; it says nothing about what comes next."""
        return self.filter(recheck=None)

    def with_candidate(self, candidate: Candidate) -> "EvaluationQuerySet":
        """Those that `candidate` took part in, in any role."""
        return self.filter(
            models.Q(ours=candidate) | models.Q(others=candidate) | models.Q(base=candidate)
        ).distinct()

    def with_details(self) -> "EvaluationQuerySet":
        """With the related rows that pages and jobs read."""
        of_ours = ("ours__training__version", "ours__training__job")
        return self.select_related("job", "goal", "version", "base__base_model", *of_ours)

    def lock(self, pk: int) -> "Evaluation":
        """The evaluation as it is now, its row locked until the transaction ends."""
        return self.select_for_update().get(pk=pk)


class Evaluation(models.Model):
    """`ours` is the candidate that the verdict is about, `base` the one it is compared with;
    `others` answer the same prompts beside them."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="evaluations")
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="evaluations")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="evaluation")
    test_rows = models.JSONField(default=list)  # ids in the version; empty: its whole test split
    base = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="+")
    ours = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="+")
    others = models.ManyToManyField(Candidate, related_name="+")
    measure = models.CharField(max_length=8)  # a MeasureKind, as the goal had it
    measure_settings = models.JSONField(default=dict)
    number_format = models.CharField(max_length=8, blank=True)
    looks = models.PositiveIntegerField(default=1)  # times this test set was seen, this included
    judges_heard = models.PositiveIntegerField(default=0)  # opinions shown, deleted ones included
    general = models.JSONField(default=dict)  # GeneralCheckResult; empty until it ran
    refusals = models.JSONField(default=dict)  # RefusalResult; empty until it ran
    recall = models.JSONField(default=dict)  # RecallResult; empty until it ran
    latency_seconds = models.JSONField(default=dict)  # candidate id -> for one answer, asked alone
    verdict = models.JSONField(default=dict)  # StoredVerdict; empty until the job ended
    revealed_at = models.DateTimeField(null=True, blank=True)  # blind choice: names shown
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EvaluationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"evaluation {self.pk}"

    def get_measure(self) -> Measure:
        """The goal's measure at the time the evaluation started."""
        return get_measure(self.measure, self.measure_settings)

    @property
    def needs_person(self) -> bool:
        """Whether a person's choices decide, and not a measure."""
        return self.get_measure().needs_person

    @property
    def hides_names(self) -> bool:
        """A person's blind choice stays blind until the votes are counted."""
        return self.needs_person and not self.revealed_at

    @property
    def in_8_bits(self) -> bool:
        """Whether the weights were rounded to 8 bits."""
        return self.number_format == INT8

    @property
    def left_out(self) -> dict[str, int]:
        """How many rows of the version's test split are not asked, by reason; see leakage.py."""
        counts: dict[str, int] = self.job.spec.get("left_out", {})
        return counts

    @property
    def prompt_count(self) -> int:
        return len(self.test_rows) or int(self.version.counts.get("test", 0))

    @property
    def asks_fresh_only(self) -> bool:
        """Whether only prompts were chosen on which nobody had seen results."""
        whole = int(self.version.counts.get("test", 0))
        return self.prompt_count + sum(self.left_out.values()) < whole

    def test_prompts(self) -> list[HeldOutPrompt]:
        """The prompts that its candidates answer."""
        return read_test_prompts(self.version, self.test_rows)

    def candidates(self) -> list[Candidate]:
        """All participants: the base, then the others by effort."""
        self._read_others()
        others = [*self.others.all(), self.ours]
        return [self.base, *sorted(others, key=lambda one: (EFFORT[one.kind], one.pk))]

    @cached_property
    def groups(self) -> dict[int, str]:
        """The index of each prompt that has a group -> its group; see `Comparison.group`. Read
        once."""
        grouped = self.comparisons.exclude(group="")
        return dict(grouped.values_list("index", "group"))

    @cached_property
    def counted_choices(self) -> dict[int, list[str]]:
        """Index of the prompt -> the choices of people that count. Read once."""
        found: dict[int, list[str]] = defaultdict(list)
        for index, choice in self.votes.counted().values_list("index", "choice"):
            found[index].append(choice)
        return found

    def read_answers(self) -> None:
        """Read answers and comparisons once, for a page whose parts all ask for them."""
        models.prefetch_related_objects([self], "answers", "comparisons", "trivial_answers")

    def _read_others(self) -> None:
        """Read them once. (A Prefetch of the module would keep the last evaluation in memory.)"""
        related = ("base_model", "endpoint", "knowledge", "training__version", "training__job")
        others = Candidate.objects.select_related(*related)
        models.prefetch_related_objects([self], models.Prefetch("others", others))

    def answers_of(self, candidate: Candidate) -> list["Answer"]:
        """In the order of the prompts."""
        return [one for one in self.answers.all() if one.candidate_id == candidate.pk]

    def prompt_baseline(self) -> Candidate | None:
        """The same base model with a good prompt, where it takes part beside `ours`."""
        if self.ours.kind == CandidateKind.PROMPT:
            return None
        self._read_others()
        for one in self.others.all():
            if one.kind == CandidateKind.PROMPT and one.base_model_id == self.base.base_model_id:
                return one
        return None


class AnswerQuerySet(models.QuerySet["Answer"]):
    def by_candidate(self) -> dict[tuple[int, int], "Answer"]:
        """(candidate id, index of the prompt) -> answer."""
        return {(answer.candidate_id, answer.index): answer for answer in self}


class Answer(models.Model):
    """What one candidate answered to one test prompt."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="answers")
    candidate = models.ForeignKey(Candidate, on_delete=models.CASCADE, related_name="answers")
    index = models.PositiveIntegerField()  # position in the test split
    row = models.BigIntegerField()  # id of the row in the version file
    text = models.TextField(blank=True)
    thought = models.TextField(blank=True)  # before the text, by a model that thinks
    passed = models.BooleanField(null=True)
    score = models.FloatField(null=True)
    why = models.CharField(max_length=200, blank=True)
    refused = models.BooleanField(default=False)  # the prompt was too long for it
    tokens = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)  # with instructions, shots, passages
    passages = models.JSONField(default=list)  # shown to it: [{"document", "page", "at"}], no text
    seconds = models.FloatField(default=0)

    objects = AnswerQuerySet.as_manager()

    class Meta:
        ordering = ["index", "candidate"]
        constraints = [
            models.UniqueConstraint(
                fields=["evaluation", "candidate", "index"], name="one_answer_a_prompt"
            )
        ]

    def __str__(self) -> str:
        return f"prompt {self.index}"


class TrivialAnswer(models.Model):
    """An answer to one test prompt that needs no model, such as the question itself."""

    class Baseline(models.TextChoices):
        REPEAT = "repeat", _("Repeating the question")
        COMMONEST = "commonest", _("Always the commonest answer")
        CONSTANT = "constant", _("Always the same answer, the one that scores best")
        CONSTANT_REPEAT = "constant_repeat", _("The same answer, and the question behind it")
        NEAREST_WORDS = "nearest_words", _("The answer of the example with the nearest words")
        NEAREST_MEANING = "nearest_meaning", _("The answer of the example nearest in meaning")
        RULES = "rules", _("Keeping the rules and saying nothing")

    evaluation = models.ForeignKey(
        Evaluation, on_delete=models.CASCADE, related_name="trivial_answers"
    )
    baseline = models.CharField(max_length=16, choices=Baseline.choices)
    index = models.PositiveIntegerField()  # position in the test split
    text = models.TextField(blank=True)
    passed = models.BooleanField()
    score = models.FloatField()
    why = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["baseline", "index"]
        constraints = [
            models.UniqueConstraint(
                fields=["evaluation", "baseline", "index"], name="one_trivial_answer_a_prompt"
            )
        ]

    def __str__(self) -> str:
        return f"{self.baseline}, prompt {self.index}"


class TestSetLook(models.Model):
    """The results on a test set were seen once.

    Kept when the evaluation is deleted: deleting results does not make the prompts unseen again.
    """

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="looks")
    evaluation = models.OneToOneField(
        Evaluation, null=True, on_delete=models.SET_NULL, related_name="look"
    )
    rows = models.JSONField(default=list)  # ids of the test rows, which stay when a set grows
    prompt_hashes = models.JSONField(default=list)  # which stay when rows are imported again
    candidates = models.JSONField(default=list)  # ids of those that were tested
    comparison = models.JSONField(default=dict)  # of what, by what; empty: recorded without it
    results = models.JSONField(default=list)  # StoredResult (changed_prompts.py) of each prompt
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"look at {len(self.rows)} prompts"


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    def decided(self) -> "ComparisonQuerySet":
        """Those with an outcome, without the ones that nobody has judged yet."""
        return self.exclude(outcome=Comparison.Outcome.OPEN)


class Comparison(models.Model):
    """One test prompt of an evaluation, with the outcome of ours against base.

    Written when both answers are in (or when a person has voted), so that the page can filter and
    search without reading the version file.
    """

    class Outcome(models.TextChoices):
        BETTER = "better", _("Better")
        SAME = "same", _("Same")
        WORSE = "worse", _("Worse")
        OPEN = "open", _("Not judged yet")

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="comparisons")
    index = models.PositiveIntegerField()
    prompt = models.TextField(blank=True)
    wanted = models.TextField(blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.OPEN)
    group = models.CharField(max_length=64, blank=True)  # prompts of one are not independent

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        ordering = ["index"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "index"], name="one_comparison_a_prompt")
        ]

    def __str__(self) -> str:
        return f"prompt {self.index}: {self.outcome}"


class PromptNote(models.Model):
    """What a person noted about the answers to one test prompt; the team can read it."""

    evaluation = models.ForeignKey(
        Evaluation, on_delete=models.CASCADE, related_name="prompt_notes"
    )
    index = models.PositiveIntegerField()
    by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    text = models.TextField()
    at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "index", "by"], name="one_note_a_person")
        ]

    def __str__(self) -> str:
        return f"note on prompt {self.index}"
