"""Jobs: state, lease and progress. The database is the only source of truth."""

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team
from finetune_app.jobs.kinds import heavy_kinds, validate_kind


class State(models.TextChoices):
    QUEUED = "queued", _("waiting")
    PREPARING = "preparing", _("preparing")
    RUNNING = "running", _("running")
    STOPPING = "stopping", _("stopping")
    STOPPED = "stopped", _("stopped")  # can be continued
    SUCCEEDED = "succeeded", _("done")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


LEASED = (State.PREPARING, State.RUNNING, State.STOPPING)  # a worker holds it
ACTIVE = (State.QUEUED, *LEASED)  # needs no action of the user
ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
CAN_CONTINUE = (State.STOPPED, State.FAILED)


class JobQuerySet(models.QuerySet["Job"]):
    def active(self) -> "JobQuerySet":
        return self.filter(state__in=ACTIVE)

    def leased(self) -> "JobQuerySet":
        return self.filter(state__in=LEASED)

    def held_by(self, job: "Job") -> "JobQuerySet":
        """The row, if the lease that `job` was read with is still valid."""
        return self.filter(pk=job.pk, token=job.token, state__in=LEASED)

    def lane(self, heavy: bool) -> "JobQuerySet":
        """Jobs of one lane: heavy jobs and light jobs queue separately."""
        kinds = heavy_kinds()
        return self.filter(kind__in=kinds) if heavy else self.exclude(kind__in=kinds)

    def waiting(self) -> "JobQuerySet":
        """Jobs that may be taken, those that have waited longest first."""
        due = models.Q(not_before=None) | models.Q(not_before__lte=timezone.now())
        return self.filter(due, state=State.QUEUED).order_by("queued_at", "pk")


class Job(models.Model):
    """One background job. Rooms refer to it from their own rows (Training, Import...).

    A worker takes the lease by a conditional UPDATE that increments `token` (the fencing
    token); every later write filters by that token, so a worker that lost its lease
    writes nothing.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=12, validators=[validate_kind])
    title = models.CharField(max_length=120, blank=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    spec = models.JSONField(default=dict)
    needs_card = models.BooleanField(default=False)  # else any worker may take it
    card_bytes = models.BigIntegerField(default=0)  # memory it needs on a card; 0: not known

    token = models.PositiveIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)  # leases taken since the last request
    worker = models.CharField(max_length=120, blank=True)  # host:pid of the supervisor
    worker_card_bytes = models.BigIntegerField(default=0)  # memory of its card; 0: it has none
    child = models.CharField(max_length=120, blank=True)  # host:pid:start time of the child
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    stop_asked = models.BooleanField(default=False)
    cancel_asked = models.BooleanField(default=False)
    yield_asked = models.BooleanField(default=False)  # to make room; see preemption.py
    yielded_at = models.DateTimeField(null=True, blank=True)  # when it was asked the last time

    done = models.FloatField(default=0)
    total = models.FloatField(default=0)
    unit = models.CharField(max_length=16, blank=True)
    phase = models.CharField(max_length=40, blank=True)
    message = models.TextField(blank=True)  # shown on the page
    detail = models.TextField(blank=True)  # for experts: traceback, last lines of the log
    error_code = models.CharField(max_length=40, blank=True)
    result = models.JSONField(default=dict)

    request_id = models.CharField(max_length=64, blank=True)  # of the request that started it
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(default=timezone.now)  # order in the team's queue
    moved_ahead_at = models.DateTimeField(null=True, blank=True)  # before its team's other jobs
    not_before = models.DateTimeField(null=True, blank=True)  # waits for this; see handlers.Later
    sent_at = models.DateTimeField(null=True, blank=True)  # time of the last message to the broker
    started_at = models.DateTimeField(null=True, blank=True)
    taken_at = models.DateTimeField(null=True, blank=True)  # the last time: the team's turn
    running_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["state", "kind"]), models.Index(fields=["taken_at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}: {self.state}"

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def can_continue(self) -> bool:
        return self.state in CAN_CONTINUE

    @property
    def is_heavy(self) -> bool:
        return self.kind in heavy_kinds()

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the speed so far; None until there is one."""
        since = self.running_at
        if self.state != State.RUNNING or not since or self.fraction < 0.05:
            return None
        start = float(self.result.get("resumed_at", 0) or 0)
        elapsed = (timezone.now() - since).total_seconds()
        speed = max(self.done - start, 0) / elapsed if elapsed > 0 else 0
        return (self.total - self.done) / speed if speed else None


class WorkerMachine(models.Model):
    """The machine of a worker that runs heavy jobs, as it last reported it. A machine with several
    graphics cards has a worker, and a row, for each."""

    host = models.CharField(max_length=120)
    card = models.CharField(max_length=80, blank=True)  # GraphicsCard.uuid
    machine = models.JSONField(default=dict)  # Machine.as_json
    in_cluster = models.BooleanField(default=False)  # a node that runs our jobs, not a worker
    reported_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "card"], name="one_report_a_worker")]

    def __str__(self) -> str:
        return f"{self.host} {self.card}".strip()


class ChildRun(models.Model):
    """When a child process ran: evidence that no two ran at once, and what a team has used."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="child_runs")
    token = models.PositiveIntegerField()
    worker = models.CharField(max_length=120)
    child = models.CharField(max_length=120)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    how = models.CharField(max_length=200, blank=True)  # exit code, or who killed it

    def __str__(self) -> str:
        return f"job {self.job_id} token {self.token}: {self.child}"


class DeletedJobTime(models.Model):
    """How long heavy jobs ran that a team has deleted since, so that this gives no hours back."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    month = models.DateField()  # its first day, in UTC
    seconds = models.FloatField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "month"], name="one_sum_a_month")]

    def __str__(self) -> str:
        return f"{self.team}, {self.month:%Y-%m}: {self.seconds:.0f} s"


class ClusterJobQuerySet(models.QuerySet["ClusterJob"]):
    def live(self) -> "ClusterJobQuerySet":
        """Those that are not known to have ended."""
        return self.filter(ended_at=None)


class ClusterJob(models.Model):
    """A job of a cluster (Slurm, Kubernetes), which runs our worker for one job of ours."""

    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, related_name="cluster_jobs")
    token = models.PositiveIntegerField(default=0)  # of `job`; another one once it was taken
    only_reports = models.BooleanField(default=False)  # the machine that it runs on; no job
    name = models.CharField(max_length=63, unique=True)  # there; known before it is submitted
    cluster_id = models.CharField(max_length=63, blank=True)
    reason = models.TextField(blank=True)  # why it waits or has ended, in the cluster's words
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(default=timezone.now)  # the last time it was sent there
    submitted_at = models.DateTimeField(null=True, blank=True)  # the cluster has it since
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = ClusterJobQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["job"],
                condition=models.Q(ended_at=None, job__isnull=False),
                name="one_live_cluster_job",
            ),
            models.UniqueConstraint(
                fields=["only_reports"],
                condition=models.Q(ended_at=None, only_reports=True),
                name="one_live_report",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.cluster_id}".strip()
