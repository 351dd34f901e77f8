"""Test data for all pages: `build_world(team, by)` creates a goal that has been through all steps,
with the rows and small files that its pages read.
"""

from dataclasses import dataclass
from decimal import Decimal

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.test import Client
from django.utils import timezone

from finetune_app.accounts import services
from finetune_app.accounts.models import Invitation, Membership, Role, Team, User
from finetune_app.api_keys.models import ApiKey
from finetune_app.basemodels.models import BaseModel, BaseModelChoice, Install
from finetune_app.candidates.models import Candidate
from finetune_app.checks.models import Finding
from finetune_app.datasets.models import Dataset, Edit, Example, Import
from finetune_app.evaluation.models import Evaluation, VoteLink
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.guide.models import Advice
from finetune_app.guide.wizard import services as wizard
from finetune_app.guide.wizard.question_screens import ALL
from finetune_app.hub_training.models import HubJobsAccount, HubTraining
from finetune_app.hyperparameter_search.models import HyperparameterSearch
from finetune_app.imports.models import Upload
from finetune_app.jobs.models import State
from finetune_app.judging.models import JudgeRun
from finetune_app.knowledge.models import Document
from finetune_app.model_export.models import HubPush, ModelExport
from finetune_app.openai_import.models import OpenAIImport
from finetune_app.playground.models import PublicChat
from finetune_app.preferences.models import AnswerPair
from finetune_app.prompt_sheets.models import PromptSheet
from finetune_app.providers.models import Endpoint
from finetune_app.remote_training.models import PlatformAccount, RemoteTraining
from finetune_app.request_log.models import Request
from finetune_app.training.models import Point, SampleAnswer, Training
from finetune_app.versions.models import Version
from tests import factories_datasets, factories_evaluation, factories_live
from tests.accounts.passkey_credential import passkey_credential
from tests.factories_live import job
from tests.journey import write


@dataclass
class World:
    team: Team
    goal: Goal
    base_model: BaseModel
    example: Example
    edit: Edit
    finding: Finding
    file: Import
    upload: Upload
    version: Version
    install: Install
    training: Training
    candidates: list[Candidate]
    evaluation: Evaluation
    judge_run: JudgeRun
    prompt_sheet: PromptSheet
    answer_pair: AnswerPair
    vote_link: VoteLink
    vote_secret: str  # of that link
    member: Membership
    invitation: Invitation
    secret: str
    advice: Advice
    endpoint: Endpoint
    platform_account: PlatformAccount
    openai_import: OpenAIImport
    kept: Candidate
    document: Document
    api_key: ApiKey
    asked: Request
    export: ModelExport
    hub_push: HubPush
    public_chat: PublicChat
    session: UserSession  # of the person who made it all
    passkey: Authenticator  # theirs too


def build_world(team: Team, by: User) -> World:
    """Everything below one goal of `team`: dataset, version, training, evaluation, and so on."""
    goal = Goal.objects.create(
        team=team,
        name="Sort shop emails",
        description="Sort each email.",
        pairs=[{"prompt": "Is my bike ready?", "answer": "repair_status"}],
        measure=MeasureKind.EXACT,
        created_by=by,
    )
    dataset = Dataset.objects.create(goal=goal, last_number=len(factories_datasets.SPLITS))
    examples = [
        factories_datasets.example(dataset, number)
        for number in range(1, len(factories_datasets.SPLITS) + 1)
    ]
    version = factories_datasets.version(dataset, examples, by)
    base = BaseModel.objects.create(
        slug=f"tiny-{team.pk}", name="Tiny", source="tests", parameters=1000, context=512
    )
    factories_datasets.write(f"{base.folder}/config.json", "{}")
    BaseModelChoice.objects.create(goal=goal, base_model=base, chosen_by=by)
    training = _training(goal, version, base, by)
    _search(training, by)
    candidates = factories_evaluation.candidates(goal, base, training)
    guest = User.objects.create_user(f"guest{team.pk}@guests.example", name="Guest")
    invitation, secret = services.invite(team=team, role=Role.VIEWER, by=by)
    api_key, asked = factories_live.live(goal, candidates, by)
    evaluation = factories_evaluation.evaluation(goal, version, candidates, by)
    endpoint = _endpoint(team, by)
    vote_link, vote_secret = factories_evaluation.vote_link(evaluation, by)
    world = World(
        team=team,
        goal=goal,
        base_model=base,
        example=examples[0],
        edit=Edit.objects.create(dataset=dataset, what="Set aside No. 1", by=by),
        finding=factories_datasets.finding(dataset, examples[0]),
        file=factories_datasets.import_file(dataset, team, by),
        upload=Upload.objects.create(
            dataset=dataset, by=by, file_name="years of emails.jsonl", size=900_000_000
        ),
        version=version,
        install=_install(team),
        training=training,
        candidates=candidates,
        evaluation=evaluation,
        judge_run=factories_evaluation.judge_run(evaluation, endpoint, by),
        prompt_sheet=factories_evaluation.prompt_sheet(candidates, by),
        answer_pair=factories_evaluation.answer_pair(candidates[1], examples, by),
        vote_link=vote_link,
        vote_secret=vote_secret,
        member=Membership.objects.create(team=team, user=guest, role=Role.VIEWER),
        invitation=invitation,
        secret=secret,
        advice=_advice(goal, by),
        endpoint=endpoint,
        platform_account=_remote_training(goal, version, by).account,
        openai_import=_openai_import(team, by),
        kept=factories_evaluation.saved_prompts(goal, base, by),
        document=factories_datasets.document(goal, by),
        api_key=api_key,
        asked=asked,
        export=(export := factories_live.model_exports(training, by)),
        hub_push=factories_live.hub_push(export, by),
        public_chat=factories_live.chat_page(goal),
        session=_session(by),
        passkey=_passkey(by),
    )
    factories_evaluation.suggestion_run(world.kept, by)
    _hub_training(training, by)
    return world


def _session(user: User) -> UserSession:
    """Another browser in which `user` is signed in."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return UserSession.objects.create(
        user=user,
        ip="192.0.2.7",
        session_key=client.session.session_key,
        user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    )


def _passkey(user: User) -> Authenticator:
    """A passkey that no browser has."""
    data = {"name": "Laptop", "credential": passkey_credential()}
    return Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data=data)


def _endpoint(team: Team, by: User) -> Endpoint:
    return Endpoint.objects.create(
        team=team,
        name="Elsewhere",
        url="https://api.example.com/v1",
        model="big-1",
        consented_by=by,
        consented_at=timezone.now(),
    )


def _openai_import(team: Team, by: User) -> OpenAIImport:
    """The tests of an evaluation, of which no goal has been made yet."""
    row = [{"role": "user", "content": "Is it open?"}, {"role": "assistant", "content": "hours"}]
    suite = {"name": "Shop", "rows": [row], "measure": "exact", "measure_settings": {}, "notes": []}
    return OpenAIImport.objects.create(team=team, created_by=by, suite=suite)


def _remote_training(goal: Goal, version: Version, by: User) -> RemoteTraining:
    """Failed there, with the platform's words."""
    account = PlatformAccount.objects.create(
        team=goal.team,
        name="Another Finetune",
        url="https://train.example.com/v1",
        secret="x",
        price=5,
        price_of=timezone.localdate(),
        added_by=by,
    )
    training = RemoteTraining.objects.create(
        goal=goal,
        number=1,
        version=version,
        account=account,
        job=job(goal.team, "remote_train", state=State.FAILED, message="Row 3 is broken."),
        spec={"model": "larger", "method": "supervised", "hyperparameters": {"n_epochs": 3}},
        expected_tokens=90_000,
        expected_cost=Decimal("0.45"),
        remote_id="ftjob-1",
        remote_state="failed",
        agreed_by=by,
    )
    training.events.create(event_id="1", at=timezone.now(), message="The files are checked.")
    for step, loss in ((10, 2.5), (20, 1.4)):
        metrics = {"step": step, "train_loss": loss, "valid_loss": loss + 0.2}
        training.events.create(
            event_id=f"m{step}", at=timezone.now(), message=f"Step {step}", metrics=metrics
        )
    return training


def _hub_training(training: Training, by: User) -> HubTraining:
    """Over, and its training is here. The team has set a cap for the month."""
    HubJobsAccount.objects.create(team=training.goal.team, spending_cap=20, secret="x")
    made = HubTraining.objects.create(
        goal=training.goal,
        number=training.number,
        version=training.version,
        base_model=training.base_model,
        job=job(training.goal.team, "hub_train", done=3, total=3),
        spec=training.spec,
        namespace="kettle",
        flavor="t4-small",
        image="python:3.11-slim",
        timeout_seconds=7200,
        price=Decimal("0.006667"),
        expected_cost=Decimal("0.8000"),
        data_commit="8" * 40,
        remote_id="69290f9e4b2e1a0001a1b2c3",
        stage="COMPLETED",
        events=[
            {"event": "phase", "text": "Learning from your examples"},
            {"event": "point", "step": 1, "loss": 2.0, "validation_loss": 2.1},
            {"event": "point", "step": 3, "loss": 1.2, "validation_loss": 1.5},
        ],
        seconds=372,
        training=training,
        agreed_by=by,
    )
    write(f"{made.folder}/left.txt", "left")
    return made


def _install(team: Team) -> Install:
    return Install.objects.create(
        job=job(team, "install"), team=team, slug="small", name="Small", source="org/small"
    )


def _training(goal: Goal, version: Version, base: BaseModel, by: User) -> Training:
    training = Training.objects.create(
        goal=goal,
        number=1,
        version=version,
        base_model=base,
        started_by=by,
        job=job(goal.team, "training", done=2, total=2, unit="steps"),
        spec={"base_model": base.folder, "epochs": 1, "batch_size": 8, "seed": 17},
        adapter_sha256="2" * 64,
    )
    goal.last_training = 1
    goal.save()
    factories_datasets.write(f"{training.adapter_folder}/adapter_config.json", "{}")
    factories_datasets.write(f"{training.adapter_folder}/adapter_model.safetensors", "weights")
    for step in (1, 2):
        Point.objects.create(training=training, step=step, loss=2 / step, validation_loss=2.1)
    SampleAnswer.objects.create(
        training=training,
        step=2,
        index=0,
        prompt="Is it ready?",
        wanted="repair_status",
        answer="repair_status",
        passed=True,
    )
    return training


def _search(training: Training, by: User) -> HyperparameterSearch:
    """Done: nothing did better than the automatic settings."""
    search = HyperparameterSearch.objects.create(
        goal=training.goal,
        number=1,
        version=training.version,
        base_model=training.base_model,
        job=job(training.goal.team, "search", done=183, total=183),
        spec={"measure": {"kind": "exact", "settings": {}}, "learning_rate": 1e-3},
        winner=0,
        started_by=by,
    )
    reached = {"trial": 0, "rung": 0, "step": 2, "score": 0.5, "loss": 1.2, "prompts": 10}
    search.trials.create(number=0, name="automatic", reached=[reached])
    search.trials.create(number=1, name="higher_rate", settings={"learning_rate": 2e-3})
    return search


def _advice(goal: Goal, by: User) -> Advice:
    """A finished wizard with one question skipped."""
    for screen in ALL:
        given = None if screen.name == "facts_change" else screen.cards[1].gives
        wizard.answer(goal=goal, user=by, screen=screen, given=given)
    return wizard.finish(goal=goal, user=by)
