"""The job that has a training done on a platform, follows it, and takes in the tuned model."""

import shutil
from datetime import UTC, datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.jobs.handlers import Result
from finetune_app.jobs.models import ACTIVE, Job
from finetune_app.providers.models import Endpoint
from finetune_app.remote_training.following import Following, FollowingHandler, following_kind
from finetune_app.remote_training.models import RemoteTraining, RemoteTrainingEvent
from finetune_app.remote_training.platform_kinds import OVER
from finetune_app.remote_training.platforms import platform_of
from finetune_app.remote_training.platforms.contract import (
    Order,
    Platform,
    PlatformError,
    RemoteJob,
    UnknownJob,
)
from finetune_app.remote_training.services import cost_of, require_affordable
from finetune_app.remote_training.training_files import SENT, write_training_files

OURS = "finetune-"  # begins the id of an event that the platform did not tell
MAX_CANCEL_SECONDS = 2 * 3600.0  # from an accepted cancel to the end there


class RemoteTrainingHandler(FollowingHandler):
    kind = following_kind("remote_train")

    def following(self, job: Job) -> "FollowingPlatform":
        training = RemoteTraining.objects.select_related("account", "version", "goal").get(job=job)
        return FollowingPlatform(job, training, platform_of(training.account))

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


class FollowingPlatform(Following[RemoteTraining, RemoteJob]):
    max_poll_seconds = 300.0

    def __init__(self, job: Job, training: RemoteTraining, platform: Platform) -> None:
        super().__init__(job, training)
        self.platform = platform

    def send(self) -> None:
        """The files that are not there yet."""
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

    def find(self) -> RemoteJob | None:
        return self.platform.find(self.training.mark, self.training.files.get("train", ""))

    def check_before_start(self) -> None:
        """The cap again: it may have been lowered, and a start that never arrived may have been
        last month's."""
        training = self.training
        try:
            require_affordable(training.account, cost_of(training) or None, training)
        except PlainError:
            self.take_back()
            raise
        self.platform.check_order(self.order(), self.file_ids())

    def start(self) -> RemoteJob:
        return self.platform.start(self.order(), self.file_ids())

    def file_ids(self) -> list[str]:
        return [self.training.files[split] for split in SENT if split in self.training.files]

    def order(self) -> Order:
        training, spec = self.training, self.training.spec
        return Order(
            mark=training.mark,
            model=spec["model"],
            method=spec["method"],
            suffix=_suffix(training),
            hyperparameters=spec["hyperparameters"],
            seed=spec["seed"],
            agreed_cost=training.expected_cost,
        )

    def ask(self) -> RemoteJob:
        if self.stop_asked() and self.training.cancel_tried_at is None:
            self.save(cancel_tried_at=timezone.now())
        return super().ask()

    def cancel(self) -> None:
        self.platform.cancel(self.training.remote_id)

    def poll(self) -> RemoteJob:
        return self.platform.poll(self.training.remote_id)

    def result_of(self, found: RemoteJob) -> Result | None:
        if found.state == "succeeded" and not found.model:
            raise PlainError(
                _(
                    "The platform says that it is done, and not how its model is called. Press "
                    "Continue to ask again."
                )
            )
        if found.state == "succeeded":
            return {"model": found.model, "tokens": found.trained_tokens}
        if found.state == "failed":
            self.take_back()
            raise PlainError(found.error or _("The platform says that it failed, and not why."))
        if found.state == "cancelled":
            return {"cancelled": True}
        self.give_up_cancelling(found)
        return None

    def give_up_cancelling(self, found: RemoteJob) -> None:
        """A platform that goes on all the same would keep the goal from being deleted for ever."""
        tried = self.training.cancel_tried_at if self.job.stop_asked else None
        if tried is None or (timezone.now() - tried).total_seconds() < MAX_CANCEL_SECONDS:
            return
        self.take_back()
        raise PlainError(
            _(
                "It was cancelled two hours ago, and the platform still says “%(state)s”. It may "
                "still run there, and cost. Cancel it on the platform itself."
            )
            % {"state": found.state}
        )

    def is_over(self, found: RemoteJob) -> bool:
        return found.state in OVER

    def keep(self, found: RemoteJob) -> None:
        """Record how it stands, and what is new."""
        try:
            known = self.training.events.exclude(event_id__startswith=OURS).last()
            after = known.event_id if known else ""
            events = self.platform.events(self.training.remote_id, after)
        except PlatformError as problem:
            # It was found just now, so a platform that refuses them, or knows none, tells none.
            if problem.retry_after is not None and not isinstance(problem, UnknownJob):
                raise
            events = []
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

    def take_back(self) -> None:
        for split in SENT:
            try:
                file_id = self.training.files.get(split) or self.platform.find_file(
                    self.file_name(split), begun=True
                )
                if file_id and not self.is_used_by_another(file_id):
                    self.platform.delete_file(file_id)
            except PlatformError as problem:
                self.say_kept(split, problem)
        self.save(files={})  # sent anew if it goes on

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
