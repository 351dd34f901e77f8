"""Factories of tests for step 6: deployment, requests, monitoring and exports."""

from typing import Any

from django.utils import timezone

from finetune_app.accounts.models import Team, User
from finetune_app.alerts import services as watching
from finetune_app.alerts.models import Notice, Rule
from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.candidates.models import Candidate
from finetune_app.deployment.models import Deployment, Release
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job, State
from finetune_app.model_export.models import ExportFormat, HubPush, ModelExport
from finetune_app.monitoring.models import DriftCheck
from finetune_app.playground.models import PublicChat
from finetune_app.request_log import feedback, retention, stored_responses
from finetune_app.request_log.models import Request
from finetune_app.request_log.stored_responses import ResponseToStore
from finetune_app.training.models import Training
from tests.journey import write


def live(goal: Goal, candidates: list[Candidate], by: User) -> tuple[ApiKey, Request]:
    """A deployment with another name, two releases and a canary, a key, a successful request with
    transcript and negative feedback, and a failed request."""
    base, candidate = candidates
    live = Deployment.objects.create(team=goal.team, goal=goal, name="shop-mail")
    live.aliases.create(team=goal.team, name="gpt-4o-mini")
    for number in (1, 2):
        Release.objects.create(deployment=live, number=number, candidate=candidate, by=by)
    Release.objects.create(
        deployment=live, number=3, candidate=base, by=by, canary_percent=10, promoted_at=None
    )
    key, _text = api_keys.create_key(
        team=goal.team, by=by, name="the mailbox", deployment=live, days=30
    )
    _alerts(live, by)
    _failed, went_well = (
        Request.objects.create(
            team=goal.team,
            deployment=live,
            release=live.current,
            key=key,
            model=live.name,
            status=status,
            error=error,
            tokens=44,
            prompt_tokens=90,
            seconds=0.8,
            first_seconds=0.2,
            confidence=-0.2,
            reply_id=f"chatcmpl-{goal.pk}-{status}",
        )
        for status, error in ((429, "engine_busy"), (200, ""))
    )
    retention.change(deployment=live, by=by, on=True)
    asked = [{"role": "user", "content": "Call me on +49 30 901820 when my bike is ready."}]
    retention.store_transcript(went_well, asked, "repair_status")
    stored_responses.store(
        went_well,
        ResponseToStore(
            f"resp_{went_well.pk}", "", [{"id": "msg_1", "text": "Hello"}], {"id": "resp_1"}
        ),
    )
    Request.objects.filter(pk=went_well.pk).update(refused=False)
    _drift(live, went_well)
    feedback.give(request=went_well, rating=-1, comment="Too short.", expected="pickup", by=by)
    return key, went_well


def _drift(live: Deployment, odd: Request) -> None:
    """A drift check that found drift, with examples."""
    version = live.goal.dataset.versions.get()
    for auc, by_chance in ((0.54, 0.6), (0.66, 0.59)):
        DriftCheck.objects.create(
            deployment=live,
            version=version,
            job=job(live.team, "drift"),
            learned=214,
            live=80,
            auc=auc,
            by_chance=by_chance,
            drifted=auc > by_chance,
        )
    DriftCheck.objects.create(
        deployment=live,
        version=version,
        job=job(live.team, "drift"),
        learned=214,
        live=120,
        auc=0.87,
        by_chance=0.58,
        drifted=True,
        odd=[[odd.pk, 0.08]],
        new_words=["battery", "charger"],
        missing_words=["tyre"],
    )


def _alerts(live: Deployment, by: User) -> None:
    """A raised alert that was sent by e-mail and is queued for a webhook."""
    watch = watching.watch_of(live)
    watch.people.add(by)
    Rule.objects.filter(watch=watch, metric="errors").update(on=True, raised_at=timezone.now())
    for channel, sent, problem in (
        ("email", timezone.now(), ""),
        ("webhook", None, "The webhook answered with 503."),
    ):
        Notice.objects.create(
            watch=watch,
            rule=watch.rules.first(),
            kind="raised",
            channel=channel,
            sent_at=sent,
            attempts=1,
            text="shop-mail: 50% of the last hour's requests failed; your limit is 5%.",
            due_at=timezone.now(),
            problem=problem,
        )


def model_exports(training: Training, by: User) -> ModelExport:
    """A finished export, a running one, and one that failed its check."""
    team = training.goal.team
    parity = {
        "prompts": 2,
        "tokens": 40,
        "same_tokens": 40,
        "same_answers": 2,
        "spread": 4.1,
        "max_difference": 0.02,
        "mean_difference": 0.0004,
        "passed": True,
    }
    ready = ModelExport.objects.create(
        training=training,
        format=ExportFormat.GGUF_Q8,
        job=job(team, "export"),
        parity=parity,
        by=by,
        file="shop-emails-training-1-q8_0.zip",
        size=90_000_000,
        sha256="3" * 64,
    )
    write(ready.stored_name, "weights")
    for format, state, message in (
        (ExportFormat.MERGED_BF16, State.RUNNING, "Loading it back and comparing"),
        (
            ExportFormat.GGUF_F16,
            State.FAILED,
            "The exported file does not answer as what was tested.",
        ),
    ):
        ModelExport.objects.create(
            training=training,
            format=format,
            by=by,
            job=job(team, "export", done=3, total=9, message=message),
        )
        Job.objects.filter(model_export__format=format, model_export__training=training).update(
            state=state
        )
    return ready


def hub_push(export: ModelExport, by: User) -> HubPush:
    """A finished push of the export."""
    made = HubPush.objects.create(
        training=export.training,
        format=export.format,
        export=export,
        job=job(export.training.goal.team, "hub_push"),
        repository="kettle/shop-emails-gguf",
        licence="Apache 2.0",
        files={"README.md": "5" * 64, "shop-emails-training-1-q8_0.gguf": "6" * 64},
        commit="7" * 40,
        by=by,
    )
    write(f"{made.folder}/left.txt", "left")
    return made


def chat_page(goal: Goal) -> PublicChat:
    return PublicChat.objects.create(
        deployment=goal.deployment,
        on=True,
        audience=PublicChat.Audience.LINK,
        title="Ask the shop",
        greeting="Opening hours, repairs, orders. It can be wrong.",
    )


def job(team: Team, kind: str, **fields: Any) -> Job:
    given = {"state": State.SUCCEEDED, "started_at": timezone.now(), "ended_at": timezone.now()}
    return Job.objects.create(team=team, kind=kind, title=kind, **given | fields)
