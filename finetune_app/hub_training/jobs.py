"""The job that has a training done on Hugging Face Jobs, follows it, and brings the adapter back.

Each run makes the next step that is due and waits again (`Later`), so that it holds no worker while
the container works. What may have been sent is written before it is sent: killed at any point, the
next run looks for it there before it sends anything again.
"""

import shutil
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.basemodels.services import hub_token
from finetune_app.core.errors import PlainError
from finetune_app.core.files import publish_folder
from finetune_app.hub_training import container, results
from finetune_app.hub_training.made_training import make_training
from finetune_app.hub_training.models import HubTraining
from finetune_app.hub_training.packing import pack
from finetune_app.hub_training.platform import HubJob, HubJobs
from finetune_app.jobs import lease
from finetune_app.jobs.handlers import JobHandler, Later, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.remote_training.platforms.contract import PlatformError, UnknownJob

SETTLE_SECONDS = 60.0  # a request that was sent before a crash may still arrive
FIRST_POLL_SECONDS, MORE_A_POLL_SECONDS, MAX_POLL_SECONDS = 10.0, 5.0, 120.0
MAX_RETRY_SECONDS = 900.0
MAX_UNKNOWN = 5  # answers in a row that the hub does not know the job
MAX_CANCEL_TRIES = 10  # in a row without an answer, which takes more than an hour
OVER = ("COMPLETED", "ERROR", "CANCELED", "DELETED")
NO_TOKEN = gettext_lazy(
    "Your team has no token of the hub any more. An owner saves one in step 3; then press Continue."
)
NO_TOKEN_RUNS = gettext_lazy(
    "Your team has no token of the hub any more, so nobody follows this training. If it runs "
    "there, it costs until its time is over. An owner saves a token in step 3; then press "
    "Continue, or cancel it on the hub itself."
)


class LeaseLost(Exception):
    """Another worker has the job, or its row is gone."""


class HubTrainingHandler(JobHandler):
    kind = JobKind(
        name="hub_train",
        interrupted=gettext_lazy("Looking how far it came before the interruption."),
        stopping=gettext_lazy("Cancelling it there."),
    )

    def stops_while_waiting(self, job: Job) -> bool:
        """Before its first run nothing was sent."""
        return Job.objects.filter(pk=job.pk, started_at=None).exists()

    def run(self, job: Job) -> Result:
        """The next step. Raises Later until it is over there, and PlainError when it failed."""
        training = _training_of(job)
        token = hub_token(training.goal.team)
        if not token:
            raise PlainError(str(NO_TOKEN_RUNS if training.start_tried_at else NO_TOKEN))
        try:
            return Following(job, training, HubJobs(token)).step_or_wait()
        except LeaseLost:
            return {}

    def finish(self, job: Job, result: Result) -> None:
        """What came back becomes a training of this goal."""
        training = _training_of(job)
        if result.get("fetched") and training.training is None:
            make_training(training)

    def fail(self, job: Job) -> None:
        """Say what still lies there: the rows must not be forgotten on the hub."""
        training = _training_of(job)
        if training.data_commit:
            training.left_there = _(
                "%(data)s and %(result)s are still on the hub. If you do not continue, delete "
                "them there yourself."
            ) % {"data": training.data_repository, "result": training.result_repository}
            training.save(update_fields=["left_there"])


class Following:
    """One step of a training on the hub, under the lease of its job."""

    def __init__(self, job: Job, training: HubTraining, hub: HubJobs) -> None:
        self.job, self.training, self.hub = job, training, hub

    def step_or_wait(self) -> Result:
        try:
            return self.step()
        except PlatformError as problem:
            raise self.postponed(problem) from None

    def step(self) -> Result:
        training = self.training
        if training.is_fetched:
            return self.over({"fetched": True})
        if not training.remote_id:
            if self.job.stop_asked and training.start_tried_at is None:
                return self.over({"cancelled": True})
            self.send()
            if not self.begin():
                return self.over({"cancelled": True})
        found = self.ask()
        self.keep(found)
        if found.stage == "COMPLETED":
            self.fetch()
            return self.over({"fetched": True})
        if found.stage == "CANCELED":
            return self.over({"cancelled": True})
        if found.stage in OVER:
            raise self.failed(found)
        raise Later(self.poll_seconds(), _("It runs there: %(stage)s") % {"stage": found.stage})

    def send(self) -> None:
        """Rows, settings and our worker, unless all of it is there."""
        training = self.training
        if training.start_tried_at or training.data_commit:
            return
        folder = settings.DATA_DIR / training.folder / "sent"
        try:
            files = pack(training, folder)
            self.hub.ensure_repository(training.data_repository, "dataset")
            self.hub.ensure_repository(training.result_repository, "model")
            self.save(data_commit=self.hub.send(training.data_repository, files))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def begin(self) -> bool:
        """Start it there unless it was started already; False when it is not wanted any more."""
        training = self.training
        if training.start_tried_at:
            if found := self.hub.find(training.namespace, training.mark):
                self.save(remote_id=found.job_id)
                return True
            since = (timezone.now() - training.start_tried_at).total_seconds()
            if since < SETTLE_SECONDS:
                wait = min(10.0, SETTLE_SECONDS - since)
                raise Later(wait, _("Looking whether it was started already."))
        if self.stop_asked():
            return False
        if self.hub.price(training.flavor) != training.price:
            self.save(start_tried_at=None)  # what was sent is deleted, so Continue sends it again
            self.over({})
            raise PlainError(
                _("Its price has changed since it was agreed to, or it is gone. Start another.")
            )
        self.save(start_tried_at=timezone.now())
        try:
            started = self.hub.start(
                namespace=training.namespace,
                mark=training.mark,
                image=training.image,
                command=container.command(),
                environment=container.environment(training),
                flavor=training.flavor,
                timeout_seconds=training.timeout_seconds,
            )
        except PlatformError as problem:
            if problem.retry_after is None:  # refused, so nothing was started
                self.save(start_tried_at=None)
            raise
        self.save(remote_id=started.job_id)
        return True

    def ask(self) -> HubJob:
        """How it stands there; cancelled first where that is wanted."""
        training = self.training
        if self.stop_asked() and training.stage not in OVER:
            try:
                self.hub.cancel(training.namespace, training.remote_id)
            except PlatformError as problem:
                if problem.retry_after is not None:
                    raise
                # Refused: it may be over already, which the next call tells.
        return self.hub.poll(training.namespace, training.remote_id)

    def keep(self, found: HubJob) -> None:
        """Record how it stands, and what the worker there has told."""
        training = self.training
        events = training.events
        if found.stage in ("RUNNING", *OVER):
            events = results.read_events(self.hub, training) or events
        self.save(
            stage=found.stage,
            seconds=found.seconds if found.seconds is not None else training.seconds,
            events=events,
            polls=training.polls + 1,
            failures=0,
            times_unknown=0,
        )
        done, total = results.progress_of(events)
        if total and not lease.write(self.job, done=done, total=total, unit="steps"):
            raise LeaseLost

    def fetch(self) -> None:
        folder = settings.DATA_DIR / self.training.folder / results.FETCHED
        results.fetch(self.hub, self.training, folder)
        # Next, it is deleted there: with a store, another machine may have to go on with it.
        publish_folder(f"{self.training.folder}/{results.FETCHED}")
        self.save(is_fetched=True)

    def failed(self, found: HubJob) -> PlainError:
        """What the worker there said, else what it printed last."""
        training = self.training
        told = results.read_error(self.hub, training)
        if not told:
            log = self.hub.log(training.namespace, training.remote_id)
            Job.objects.held_by(self.job).update(detail=log[-20_000:])
            told = _("It ended there with %(stage)s. %(message)s") % {
                "stage": found.stage,
                "message": found.message or _("Perhaps its time was over, or its memory."),
            }
        self.over({})
        return PlainError(told)

    def over(self, result: Result) -> Result:
        """Delete what lies there, as far as the hub lets us."""
        training, left = self.training, []
        for repo_id, kind in (
            (training.data_repository, "dataset"),
            (training.result_repository, "model"),
        ):
            try:
                self.hub.delete(repo_id, kind)
            except PlatformError as problem:
                left.append(
                    _("%(name)s may still be there, delete it yourself: %(why)s")
                    % {"name": repo_id, "why": problem.message}
                )
        self.save(left_there="\n".join(left), data_commit="")
        return result

    def postponed(self, problem: PlatformError) -> Exception:
        """What to do about a call that failed: once it may run there it is never given up."""
        training = self.training
        is_unknown = isinstance(problem, UnknownJob)
        is_hopeless = is_unknown and training.times_unknown + 1 >= MAX_UNKNOWN
        if training.start_tried_at is None and (problem.retry_after is None or is_hopeless):
            self.over({})
            return PlainError(problem.message)
        self.save(
            failures=training.failures + 1,
            times_unknown=training.times_unknown + 1 if is_unknown else 0,
        )
        if training.times_unknown >= MAX_UNKNOWN:
            return PlainError(
                _(
                    "The hub does not know this job: perhaps your team's token is of another "
                    "account now. If it runs, it costs until its time is over. Look on the hub."
                )
            )
        if self.job.stop_asked and training.failures >= MAX_CANCEL_TRIES:
            return PlainError(
                _(
                    "It could not be cancelled: %(why)s It may still run there, and cost until its "
                    "time is over. Cancel it on the hub itself."
                )
                % {"why": problem.message}
            )
        doubled = FIRST_POLL_SECONDS * 2 ** min(training.failures, 10)
        wait = max(problem.retry_after or 0.0, doubled)
        return Later(min(wait, MAX_RETRY_SECONDS), problem.message)

    def poll_seconds(self) -> float:
        """Often at first, then every two minutes."""
        return min(FIRST_POLL_SECONDS + MORE_A_POLL_SECONDS * self.training.polls, MAX_POLL_SECONDS)

    def stop_asked(self) -> bool:
        self.job.refresh_from_db(fields=["stop_asked"])
        return self.job.stop_asked

    def save(self, **fields: Any) -> None:
        """Write to the training under the lease. Raises LeaseLost."""
        _save(self.job, self.training, fields)


def _save(job: Job, training: HubTraining, fields: Mapping[str, Any]) -> None:
    with transaction.atomic():
        if not lease.renew(job):
            raise LeaseLost
        for name, value in fields.items():
            setattr(training, name, value)
        training.save(update_fields=list(fields))


def _training_of(job: Job) -> HubTraining:
    return HubTraining.objects.select_related(
        "goal__team", "version", "base_model", "training", "agreed_by"
    ).get(job=job)
