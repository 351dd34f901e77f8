"""Has a training done on Hugging Face Jobs, follows it, and brings the adapter back."""

import shutil

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.basemodels.services import hub_token
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path, publish_folder
from finetune_app.hub_training import container, results
from finetune_app.hub_training.account import container_token, require_affordable
from finetune_app.hub_training.made_training import make_training, result_file
from finetune_app.hub_training.models import OVER, HubTraining
from finetune_app.hub_training.packing import pack
from finetune_app.hub_training.platform import HubJob, HubJobs
from finetune_app.jobs.handlers import Result
from finetune_app.jobs.models import Job
from finetune_app.remote_training.following import Following, FollowingHandler, following_kind
from finetune_app.remote_training.platforms.contract import PlatformError

NO_TOKEN = gettext_lazy(
    "Your team has no token of the hub any more. An owner saves one in step 3; then press Continue."
)
NO_TOKEN_RUNS = gettext_lazy(
    "Your team has no token of the hub any more, so nobody follows this training. If it runs "
    "there, it costs until its time is over. An owner saves a token in step 3; then press "
    "Continue, or cancel it on the hub itself."
)


class HubTrainingHandler(FollowingHandler):
    kind = following_kind("hub_train")

    def following(self, job: Job) -> "FollowingHub":
        training = _training_of(job)
        token = hub_token(training.goal.team)
        if not token:
            raise PlainError(str(NO_TOKEN_RUNS if training.start_tried_at else NO_TOKEN))
        hub = HubJobs(token, container_token(training.goal.team))
        return FollowingHub(job, training, hub)

    def before_finish(self, job: Job, result: Result) -> None:
        if result.get("fetched"):  # with a store, perhaps by another machine
            local_path(result_file(_training_of(job)))

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


class FollowingHub(Following[HubTraining, HubJob]):
    max_poll_seconds = 120.0

    def __init__(self, job: Job, training: HubTraining, hub: HubJobs) -> None:
        super().__init__(job, training)
        self.hub = hub

    def step(self) -> Result:
        if self.training.is_fetched:  # only what lies there is left
            return self.over({"fetched": True})
        return super().step()

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

    def find(self) -> HubJob | None:
        return self.hub.find(self.training.namespace, self.training.mark)

    def check_before_start(self) -> None:
        """The price, and the cap again: it may have been lowered, and a start that never arrived
        may have been last month's."""
        training = self.training
        try:
            with transaction.atomic():
                require_affordable(training.goal.team, training.expected_cost, training)
        except PlainError:
            self.take_back()
            raise
        if self.hub.price(self.training.flavor) != self.training.price:
            self.take_back()
            raise PlainError(
                _("Its price has changed since it was agreed to, or it is gone. Start another.")
            )

    def start(self) -> HubJob:
        training = self.training
        return self.hub.start(
            namespace=training.namespace,
            mark=training.mark,
            image=training.image,
            command=container.command(),
            environment=container.environment(training),
            flavor=training.flavor,
            timeout_seconds=training.timeout_seconds,
        )

    def cancel(self) -> None:
        self.hub.cancel(self.training.namespace, self.training.remote_id)

    def poll(self) -> HubJob:
        return self.hub.poll(self.training.namespace, self.training.remote_id)

    def is_over(self, found: HubJob) -> bool:
        return found.state in OVER

    def keep(self, found: HubJob) -> None:
        """With what the worker there has told."""
        training = self.training
        events = training.events
        if found.state in ("RUNNING", *OVER):
            events = results.read_events(self.hub, training) or events
        self.save(
            stage=found.state,
            seconds=found.seconds if found.seconds is not None else training.seconds,
            events=events,
            polls=training.polls + 1,
            failures=0,
            times_unknown=0,
        )
        done, total = results.progress_of(events)
        if total:
            self.renew(done=done, total=total, unit="steps")

    def result_of(self, found: HubJob) -> Result | None:
        if found.state == "COMPLETED":
            self.fetch()
            return {"fetched": True}
        if found.state == "CANCELED":
            return {"cancelled": True}
        if found.state in OVER:
            raise self.failed(found)
        return None

    def fetch(self) -> None:
        folder = self.training.fetched_folder
        results.fetch(self.hub, self.training, settings.DATA_DIR / folder)
        # Next, it is deleted there: with a store, another machine may have to go on with it.
        publish_folder(folder)
        self.save(is_fetched=True)

    def failed(self, found: HubJob) -> PlainError:
        """What the worker there said, else what it printed last."""
        training = self.training
        told = results.read_error(self.hub, training)
        if not told:
            log = self.hub.log(training.namespace, training.remote_id)
            Job.objects.held_by(self.job).update(detail=log[-20_000:])
            told = _("It ended there with %(stage)s. %(message)s") % {
                "stage": found.state,
                "message": found.message or _("Perhaps its time was over, or its memory."),
            }
        self.take_back()
        return PlainError(told)

    def take_back(self) -> None:
        """The repositories that lie there."""
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


def _training_of(job: Job) -> HubTraining:
    return HubTraining.objects.select_related(
        "goal__team", "version", "base_model", "training", "agreed_by"
    ).get(job=job)
