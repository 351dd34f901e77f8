"""The job that has a training done on a platform, and follows it.

Each run of the job makes the next step that is due and waits again (`Later`), so that it holds no
worker while the platform works. What may have been sent is written before it is sent: killed at
any point, the next run looks for it on the platform before it sends anything again.
"""

import shutil
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.core.errors import PlainError
from finetune_app.jobs import lease
from finetune_app.jobs.handlers import JobHandler, Later, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import ACTIVE, Job
from finetune_app.providers.models import Endpoint
from finetune_app.remote_training.models import RemoteTraining, RemoteTrainingEvent
from finetune_app.remote_training.platforms import platform_of
from finetune_app.remote_training.platforms.contract import (
    Order,
    Platform,
    PlatformError,
    RemoteJob,
    UnknownJob,
)
from finetune_app.remote_training.training_files import SENT, write_training_files

SETTLE_SECONDS = 60.0  # a request that was sent before a crash may still arrive
FIRST_POLL_SECONDS, MORE_A_POLL_SECONDS, MAX_POLL_SECONDS = 10.0, 5.0, 300.0
OURS = "finetune-"  # begins the id of an event that the platform did not tell
MAX_RETRY_SECONDS = 900.0
MAX_UNKNOWN = 5  # answers in a row that the platform does not know the job
MAX_CANCEL_SECONDS = 2 * 3600.0  # from an accepted cancel to the end there
MAX_CANCEL_TRIES = 10  # in a row without an answer, which takes more than an hour


class LeaseLost(Exception):
    """Another worker has the job, or its row is gone."""


class RemoteTrainingHandler(JobHandler):
    kind = JobKind(
        name="remote_train",
        interrupted=gettext_lazy("Looking how far it came before the interruption."),
        stopping=gettext_lazy("Cancelling it there."),
    )

    def stops_while_waiting(self, job: Job) -> bool:
        """Before its first run nothing was sent."""
        return Job.objects.filter(pk=job.pk, started_at=None).exists()

    def run(self, job: Job) -> Result:
        """The next step. Raises Later until it is over there, and PlainError when it failed."""
        training = RemoteTraining.objects.select_related("account", "version", "goal").get(job=job)
        following = Following(job, training, platform_of(training.account))
        try:
            return following.step_or_wait()
        except LeaseLost:
            return {}

    def finish(self, job: Job, result: Result) -> None:
        """The tuned model becomes a remote model of the team, through which it answers, and so does
        the one that it started from, to compare it with."""
        training = RemoteTraining.objects.select_related("account", "goal__team").get(job=job)
        if training.remote_model and training.endpoint is None and not result.get("cancelled"):
            names = {"goal": training.goal.name[:50], "n": training.number, "pk": training.pk}
            name = _("%(goal)s, training %(n)d (%(pk)d)") % names
            training.endpoint = _endpoint_for(training, training.remote_model, name)
            training.save(update_fields=["endpoint"])
            untuned = training.account.kind.untuned.format(
                model=training.spec["model"], **training.account.options
            )
            _endpoint_for(training, untuned, training.spec["model"][:80])


class Following:
    """One step of a remote training, under the lease of its job."""

    def __init__(self, job: Job, training: RemoteTraining, platform: Platform) -> None:
        self.job, self.training, self.platform = job, training, platform

    def step_or_wait(self) -> Result:
        try:
            return self.step()
        except PlatformError as problem:
            raise self.postponed(problem) from None

    def step(self) -> Result:
        if not self.training.remote_id:
            if self.job.stop_asked and self.training.start_tried_at is None:
                return self.over({"cancelled": True})
            self.upload()
            if not self.begin():
                return self.over({"cancelled": True})
        found = self.ask()
        self.keep(found)
        if found.state == "succeeded" and not found.model:
            raise PlainError(
                _(
                    "The platform says that it is done, and not how its model is called. Press "
                    "Continue to ask again."
                )
            )
        if found.state == "succeeded":
            return self.over({"model": found.model, "tokens": found.trained_tokens})
        if found.state == "failed":
            self.over({})
            raise PlainError(found.error or _("The platform says that it failed, and not why."))
        if found.state == "cancelled":
            return self.over({"cancelled": True})
        self.give_up_cancelling(found)
        raise Later(self.poll_seconds(), _("It runs there: %(state)s") % {"state": found.state})

    def upload(self) -> None:
        """Send the files that are not there yet."""
        training = self.training
        if training.start_tried_at:
            return  # all of them were there
        folder = settings.DATA_DIR / training.folder
        try:
            written = write_training_files(
                training.version, training.spec["method"], training.account.kind.row_format, folder
            )
            for split, path in written.items():
                if split not in training.files:
                    name = self.file_name(split)
                    file_id = self.platform.find_file(name) or self.platform.upload(path, name)
                    self.save(files={**training.files, split: file_id})
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def file_name(self, split: str) -> str:
        return f"{self.training.mark}-{split}.jsonl"

    def begin(self) -> bool:
        """Start it there unless it was started already; False when it is not wanted any more."""
        training = self.training
        if training.start_tried_at:
            if found := self.platform.find(training.mark, training.files.get("train", "")):
                self.save(remote_id=found.job_id)
                return True
            since = (timezone.now() - training.start_tried_at).total_seconds()
            if since < SETTLE_SECONDS:
                wait = min(10.0, SETTLE_SECONDS - since)
                raise Later(wait, _("Looking whether it was started already."))
        if self.stop_asked():
            return False
        files = [training.files[split] for split in SENT if split in training.files]
        if training.start_tried_at is None:
            self.platform.check_files(files)
        self.save(start_tried_at=timezone.now())
        try:
            started = self.platform.start(self.order(), files)
        except PlatformError as problem:
            if problem.retry_after is None:  # refused, so nothing was started
                self.save(start_tried_at=None)
            raise
        self.save(remote_id=started.job_id)
        return True

    def order(self) -> Order:
        training, spec = self.training, self.training.spec
        return Order(
            mark=training.mark,
            model=spec["model"],
            method=spec["method"],
            suffix=_suffix(training),
            hyperparameters=spec["hyperparameters"],
            seed=spec["seed"],
        )

    def ask(self) -> RemoteJob:
        """How it stands there; cancelled first where that is wanted."""
        if self.stop_asked():
            if self.training.cancel_tried_at is None:
                self.save(cancel_tried_at=timezone.now())
            try:
                self.platform.cancel(self.training.remote_id)
            except PlatformError as problem:
                if problem.retry_after is not None:
                    raise
                # Refused: it may be over already, which the next call tells.
        return self.platform.poll(self.training.remote_id)

    def give_up_cancelling(self, found: RemoteJob) -> None:
        """A platform that goes on all the same would keep the goal from being deleted for ever."""
        tried = self.training.cancel_tried_at if self.job.stop_asked else None
        if tried is None or (timezone.now() - tried).total_seconds() < MAX_CANCEL_SECONDS:
            return
        self.over({})
        raise PlainError(
            _(
                "It was cancelled two hours ago, and the platform still says “%(state)s”. It may "
                "still run there, and cost. Cancel it on the platform itself."
            )
            % {"state": found.state}
        )

    def keep(self, found: RemoteJob) -> None:
        """Record how it stands, and what is new."""
        try:
            known = self.training.events.exclude(event_id__startswith=OURS).last()
            after = known.event_id if known else ""
            events = self.platform.events(self.training.remote_id, after)
        except UnknownJob:
            events = []  # it was found just now, so this platform tells no events
        with transaction.atomic():
            self.save(
                remote_state=found.state[:80],
                remote_model=found.model[:300],
                trained_tokens=found.trained_tokens,
                finishes_at=_time(found.finishes_at),
                polls=self.training.polls + 1,
                failures=0,
                times_unknown=0,
            )
            RemoteTrainingEvent.objects.bulk_create(
                [
                    RemoteTrainingEvent(
                        training=self.training,
                        event_id=event.event_id[:200],
                        at=_time(event.at) or timezone.now(),
                        message=event.message,
                        level=event.level[:20],
                        metrics=event.metrics,
                    )
                    for event in events
                ],
                ignore_conflicts=True,
            )

    def over(self, result: Result) -> Result:
        """Take back the files that were sent, as far as the platform lets us."""
        for split in SENT:
            try:
                file_id = self.training.files.get(split) or self.platform.find_file(
                    self.file_name(split)
                )
                if file_id and not self.is_used_by_another(file_id):
                    self.platform.delete_file(file_id)
            except PlatformError as problem:
                self.say_kept(split, problem)
        self.save(files={})  # sent anew if it goes on
        return result

    def is_used_by_another(self, file_id: str) -> bool:
        """A platform may keep one file for two trainings on the same examples."""
        account = self.training.account
        others = account.trainings.filter(job__state__in=ACTIVE).exclude(pk=self.training.pk)
        return any(file_id in files.values() for files in others.values_list("files", flat=True))

    def say_kept(self, split: str, problem: PlatformError) -> None:
        """A file that could not be deleted there is not kept in silence."""
        message = _("%(file)s may still be there, delete it yourself: %(why)s") % {
            "file": self.file_name(split),
            "why": problem.message,
        }
        given = {"at": timezone.now(), "message": message, "level": "warning"}
        self.training.events.get_or_create(event_id=f"{OURS}{split}", defaults=given)

    def postponed(self, problem: PlatformError) -> Exception:
        """What to do about a call that failed: once it may run there it is never given up."""
        training = self.training
        if training.start_tried_at is None and problem.retry_after is None:
            self.over({})
            return PlainError(problem.message)
        is_unknown = isinstance(problem, UnknownJob)
        self.save(
            failures=training.failures + 1,
            times_unknown=training.times_unknown + 1 if is_unknown else 0,
        )
        if training.times_unknown >= MAX_UNKNOWN:
            return PlainError(problem.message)
        if self.job.stop_asked and training.failures >= MAX_CANCEL_TRIES:
            return PlainError(
                _(
                    "It could not be cancelled: %(why)s It may still run there, and cost. Cancel "
                    "it on the platform itself."
                )
                % {"why": problem.message}
            )
        doubled = FIRST_POLL_SECONDS * 2 ** min(training.failures, 10)
        wait = max(problem.retry_after or 0.0, doubled)
        return Later(min(wait, MAX_RETRY_SECONDS), problem.message)

    def poll_seconds(self) -> float:
        """Often at first, then every five minutes."""
        return min(FIRST_POLL_SECONDS + MORE_A_POLL_SECONDS * self.training.polls, MAX_POLL_SECONDS)

    def stop_asked(self) -> bool:
        self.job.refresh_from_db(fields=["stop_asked"])
        return self.job.stop_asked

    def save(self, **fields: Any) -> None:
        """Write to the training under the lease. Raises LeaseLost."""
        with transaction.atomic():
            if not lease.renew(self.job):
                raise LeaseLost
            for name, value in fields.items():
                setattr(self.training, name, value)
            self.training.save(update_fields=list(fields))


def _endpoint_for(training: RemoteTraining, model: str, name: str) -> Endpoint:
    """A model there, with the account's own address and key. One that the team has is kept, but no
    other one of this name."""
    account, team = training.account, training.goal.team
    known = team.endpoints.filter(url=account.chat_url, model=model).first()
    if team.endpoints.filter(name=name).exists():
        name = f"{name[:60]} {training.mark[-8:]}"
    return known or Endpoint.objects.create(
        team=team,
        name=name,
        url=account.chat_url,
        api=account.kind.chat_api,
        model=model,
        secret=account.secret,
        consented_by=training.agreed_by,
        consented_at=training.created_at,
    )


def _suffix(training: RemoteTraining) -> str:
    """Letters, digits and hyphens, to tell the model there from others."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in training.goal.name.lower())
    return f"{'-'.join(filter(None, plain.split('-')))[:30]}-{training.number}"


def _time(seconds: int | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None
