"""One of everything, for tests that walk all pages: a team whose goal went the whole way.

`build_world(team, by)` makes the rows and the small files that the pages below a goal read.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from finetune_app.accounts import services
from finetune_app.accounts.models import Invitation, Membership, Role, Team, User
from finetune_app.api_keys.models import ApiKey
from finetune_app.basemodels.models import BaseModel, BaseModelChoice, Install
from finetune_app.candidates import drafts, validation_prompts, validation_run
from finetune_app.candidates.models import Candidate, CandidateKind, SuggestionRun, ValidationAnswer
from finetune_app.checks.models import Finding, Severity
from finetune_app.datasets.models import Dataset, Edit, Example, Import, Split
from finetune_app.evaluation.models import Answer, Comparison, Evaluation
from finetune_app.evaluation.services import store_verdict
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.guide.models import Advice
from finetune_app.guide.wizard import services as wizard
from finetune_app.guide.wizard.screens import ALL
from finetune_app.imports.models import Upload
from finetune_app.knowledge.models import Document, Knowledge
from finetune_app.model_export.models import ModelExport
from finetune_app.playground.models import PublicChat
from finetune_app.providers.models import Endpoint
from finetune_app.request_log.models import Request
from finetune_app.training.models import Point, SampleAnswer, Training
from finetune_app.versions.models import Version
from tests import factories_live
from tests.factories_live import job

SPLITS = [Split.TRAIN] * 6 + [Split.VALIDATION] * 2 + [Split.TEST] * 2


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
    member: Membership
    invitation: Invitation
    secret: str
    advice: Advice
    endpoint: Endpoint
    kept: Candidate
    document: Document
    api_key: ApiKey
    asked: Request
    export: ModelExport
    public_chat: PublicChat


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
    dataset = Dataset.objects.create(goal=goal, last_number=len(SPLITS))
    examples = [_example(dataset, number) for number in range(1, len(SPLITS) + 1)]
    version = _version(dataset, examples, by)
    base = BaseModel.objects.create(
        slug=f"tiny-{team.pk}", name="Tiny", source="tests", parameters=1000, context=512
    )
    write(f"{base.folder}/config.json", "{}")
    BaseModelChoice.objects.create(goal=goal, base_model=base, chosen_by=by)
    training = _training(goal, version, base, by)
    candidates = _candidates(goal, base, training)
    guest = User.objects.create_user(f"guest{team.pk}@guests.example", name="Guest")
    invitation, secret = services.invite(team=team, role=Role.VIEWER, by=by)
    api_key, asked = factories_live.live(goal, candidates, by)
    world = World(
        team=team,
        goal=goal,
        base_model=base,
        example=examples[0],
        edit=Edit.objects.create(dataset=dataset, what="Set aside No. 1", by=by),
        finding=_finding(dataset, examples[0]),
        file=_import(dataset, team, by),
        upload=Upload.objects.create(
            dataset=dataset, by=by, file_name="years of emails.jsonl", size=900_000_000
        ),
        version=version,
        install=_install(team),
        training=training,
        candidates=candidates,
        evaluation=_evaluation(goal, version, candidates, by),
        member=Membership.objects.create(team=team, user=guest, role=Role.VIEWER),
        invitation=invitation,
        secret=secret,
        advice=_advice(goal, by),
        endpoint=Endpoint.objects.create(
            team=team,
            name="Elsewhere",
            url="https://api.example.com/v1",
            model="big-1",
            consented_by=by,
            consented_at=timezone.now(),
        ),
        kept=_tried(goal, base, by),
        document=_document(goal, by),
        api_key=api_key,
        asked=asked,
        export=factories_live.model_exports(training, by),
        public_chat=factories_live.chat_page(goal),
    )
    _suggestions(world.kept, by)
    return world


def write(name: str, text: str) -> str:
    path = Path(settings.DATA_DIR) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return name


def _example(dataset: Dataset, number: int) -> Example:
    prompt, answer = f"Email {number}: is my bike ready?", "repair_status"
    return Example.objects.create(
        dataset=dataset,
        number=number,
        prompt=prompt,
        answer=answer,
        prompt_hash=str(number),
        messages=[
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ],
        split=SPLITS[number - 1],
        source="emails.csv",
    )


def _version(dataset: Dataset, examples: list[Example], by: User) -> Version:
    rows = [
        {"id": e.pk, "split": e.split, "messages": e.messages, "source": e.source} for e in examples
    ]
    name = f"versions/{dataset.pk}/1.jsonl"
    return Version.objects.create(
        dataset=dataset,
        number=1,
        sha256="0" * 64,
        created_by=by,
        stored_name=write(name, "".join(json.dumps(row) + "\n" for row in rows)),
        counts={split.value: SPLITS.count(split) for split in Split},
        longest=60,
        characters=360,
    )


def _finding(dataset: Dataset, example: Example) -> Finding:
    return Finding.objects.create(
        dataset=dataset,
        check_name="duplicates",
        severity=Severity.WARNING,
        count=1,
        examples=[example.pk],
        message="One example is there twice.",
        fix="set_aside",
        fix_label="Set 1 aside",
    )


def _import(dataset: Dataset, team: Team, by: User) -> Import:
    """A file that was looked at, with one line that cannot be read; waiting for the person."""
    line = {"line": 2, "cells": {"email": "Is my bike ready?", "topic": "repair_status"}}
    bad = {"line": 3, "reason": "This line has no answer.", "text": "Hello"}
    made = Import.objects.create(
        dataset=dataset,
        job=job(team, "import"),
        step=Import.Step.CONFIRM,
        by=by,
        file_name="emails.csv",
        size=60,
        rejected=[bad],
        rejected_count=1,
        shape={
            "format": "table",
            "encoding": "utf-8",
            "encoding_why": "",
            "delimiter": ",",
            "has_header": True,
            "columns": ["email", "topic"],
            "filled": {"email": 1, "topic": 1},
            "rows": [line],
            "row_count": 2,
            "usable": 1,
            "unreadable": 1,
        },
        mapping={
            "style": "pairs",
            "prompt": "email",
            "answer": "topic",
            "context": "",
            "system": "",
            "split": "",
            "why": "",
        },
    )
    text = "email,topic\nIs my bike ready?,repair_status\nHello\n"
    made.stored_name = write(f"uploads/{made.pk}/emails.csv", text)
    write(f"{made.folder}/rejected.jsonl", json.dumps(bad) + "\n")
    made.save()
    return made


def _install(team: Team) -> Install:
    return Install.objects.create(
        job=job(team, "install"), team=team, slug="small", name="Small", source="org/small"
    )


def _document(goal: Goal, by: User) -> Document:
    """Two documents: one that was read and can be searched, one that could not be read."""
    text = "Warranty\n\nThe pump carries a warranty of 27 months."
    knowledge = Knowledge.objects.create(
        goal=goal,
        job=job(goal.team, "index"),
        index=1,
        last_index=1,
        passages=1,
        characters=len(text),
        indexed_at=timezone.now(),
        practice={"asked": 8, "found": 7, "missed": [goal.dataset.examples.earliest("pk").pk]},
    )
    folder = f"{knowledge.folder}/documents/1"
    blocks = [[0, 8, 1, 1], [10, len(text), 0, 1]]
    write(f"{folder}/text.txt", text)
    write(f"{folder}/read.json", json.dumps({"reader": 1, "pages": 1, "blocks": blocks}))
    passages = [[10, len(text), 10, 1, "Warranty", 1]]
    write(f"{folder}/passages.json", json.dumps({"passages": passages}))
    write(f"{knowledge.index_folder}/index.json", "{}")
    Document.objects.create(
        knowledge=knowledge,
        name="scan.pdf",
        folder=f"{knowledge.folder}/documents/2",
        sha256="1" * 64,
        size=90_000,
        state=Document.State.FAILED,
        message="There is no text in this PDF, only pictures of pages: it was scanned.",
    )
    return Document.objects.create(
        knowledge=knowledge,
        name="handbook.pdf",
        folder=folder,
        sha256="0" * 64,
        size=4200,
        state=Document.State.READY,
        pages=1,
        passages=1,
        characters=len(text),
        added_by=by,
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
    write(f"{training.adapter_folder}/adapter_config.json", "{}")
    write(f"{training.adapter_folder}/adapter_model.safetensors", "weights")
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


def _candidates(goal: Goal, base: BaseModel, training: Training) -> list[Candidate]:
    now = timezone.now()
    kinds = [CandidateKind.BASE, CandidateKind.TUNED]
    return [
        Candidate.objects.create(
            goal=goal,
            kind=kind,
            name=kind.label,
            base_model=base,
            frozen_at=now,
            training=training if kind == CandidateKind.TUNED else None,
        )
        for kind in kinds
    ]


def _tried(goal: Goal, base: BaseModel, by: User) -> Candidate:
    """Two kept versions and a draft, each tried on the practice prompts; one answer is wrong."""
    shots = [{"prompt": "Email 1: is my bike ready?", "answer": "repair_status"}]
    draft = drafts.save_draft(
        draft=drafts.draft_of(goal=goal, user=by),
        base_model=base,
        shots=shots,
        instructions="Sort each email.",
        proposal="Sort each email into one topic.",
        proposed_by="Elsewhere",
    )
    first = drafts.save_version(draft=draft)
    drafts.save_draft(draft=draft, instructions="Sort each email. Answer with the topic.", shots=[])
    drafts.save_version(draft=draft)
    for candidate, right in ((first, 2), (draft.as_candidate(), 1)):
        for at, asked in enumerate(validation_prompts.prompts_of_goal(goal)):
            ValidationAnswer.objects.create(
                goal=goal,
                candidate_fingerprint=validation_prompts.candidate_fingerprint(candidate),
                prompt_fingerprint=asked.fingerprint,
                example_id=asked.example_id,
                text="repair_status" if at < right else "I am not sure.",
                passed=at < right,
                why="As wanted" if at < right else "Not as wanted",
                measure_fingerprint=validation_run.Judge(goal).fingerprint,
            )
    return first


def _suggestions(kept: Candidate, by: User) -> None:
    SuggestionRun.objects.create(
        goal=kept.goal,
        candidate=kept,
        job=job(kept.goal.team, "suggest", done=9, total=9),
        rows=9,
        started_by=by,
    )


def _advice(goal: Goal, by: User) -> Advice:
    """Asked to the end, with one question skipped."""
    for screen in ALL:
        given = None if screen.name == "facts_change" else screen.cards[1].gives
        wizard.answer(goal=goal, user=by, screen=screen, given=given)
    return wizard.finish(goal=goal, user=by)


def _evaluation(goal: Goal, version: Version, candidates: list[Candidate], by: User) -> Evaluation:
    base, tuned = candidates
    evaluation = Evaluation.objects.create(
        goal=goal,
        version=version,
        base=base,
        ours=tuned,
        measure=MeasureKind.EXACT,
        job=job(goal.team, "evaluation"),
        started_by=by,
        general={"level": "green", "sentence": "It writes everyday English as before."},
    )
    for index in range(SPLITS.count(Split.TEST)):
        for candidate, text, passed in ((base, "I see", False), (tuned, "repair_status", True)):
            Answer.objects.create(
                evaluation=evaluation,
                candidate=candidate,
                index=index,
                row=index,
                text=text,
                passed=passed,
                score=float(passed),
            )
        Comparison.objects.create(
            evaluation=evaluation,
            index=index,
            prompt="Is my bike ready?",
            wanted="repair_status",
            outcome=Comparison.Outcome.BETTER,
        )
    _prompt_baseline(evaluation)
    store_verdict(evaluation)
    return evaluation


def _prompt_baseline(evaluation: Evaluation) -> None:
    """A good prompt answers too, and gets one of two right."""
    baseline = Candidate.objects.create(
        goal=evaluation.goal,
        kind=CandidateKind.PROMPT,
        name="With a good prompt",
        base_model=evaluation.base.base_model,
        instructions="Sort it.",
        frozen_at=timezone.now(),
    )
    evaluation.others.add(baseline)
    evaluation.latency_seconds = {str(baseline.pk): 1.2}
    evaluation.save()
    for index in range(SPLITS.count(Split.TEST)):
        Answer.objects.create(
            evaluation=evaluation,
            candidate=baseline,
            index=index,
            row=index,
            tokens=3,
            prompt_tokens=180,
            text="repair_status",
            passed=not index,
            score=float(not index),
        )
