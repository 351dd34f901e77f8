"""A small real training on the starter model, for kill tests."""

import json
import random

from django.conf import settings
from django.db import transaction

from finetune_app.accounts.models import Team
from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.models import BaseModel
from finetune_app.core.files import sha256_of
from finetune_app.datasets.models import Dataset
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.jobs import services
from finetune_app.training.models import Training
from finetune_app.versions.models import Version
from tests.starter import link_starter

COLOURS = ["red", "green", "blue", "plum", "sand", "rust", "teal", "mint"]
SPLITS = ["train"] * 12 + ["validation"] + ["test"]
SPEC = {
    "epochs": 2,
    "batch_size": 4,
    "rank": 8,
    "save_seconds": 2,
    "sample_prompts": 1,
    "max_new_tokens": 8,
    "number_format": "bf16",
    "measure": {"kind": "exact", "settings": {}},
}


def starter() -> BaseModel:
    link_starter(settings.DATA_DIR)
    return BaseModel.objects.get_or_create(
        slug=STARTER, defaults={"name": "SmolLM2 135M", "parameters": 134_515_008}
    )[0]


@transaction.atomic
def new_training(team: Team) -> Training:
    """A queued training, as created by the page."""
    goal = Goal.objects.create(team=team, name="Colours", measure=MeasureKind.EXACT)
    version = _version(Dataset.objects.create(goal=goal))
    job = services.create(team=team, kind="training", title="Training 1", spec={})
    return Training.objects.create(
        goal=goal, number=1, version=version, base_model=starter(), job=job, spec=SPEC
    )


def _version(dataset: Dataset) -> Version:
    rng = random.Random(17)
    version = Version(
        dataset=dataset,
        number=1,
        stored_name=f"versions/kill-{dataset.pk}/1.jsonl",
        counts={"train": 48, "validation": 4, "test": 4},
        longest_answer=12,
    )
    path = settings.DATA_DIR / version.stored_name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for row in range(56):
            first, second = rng.sample(COLOURS, 2)
            messages = [
                {"role": "user", "content": f"Mix {first} and {second}."},
                {"role": "assistant", "content": f"{first}-{second}"},
            ]
            line = {"id": row, "split": SPLITS[row % len(SPLITS)], "messages": messages}
            file.write(json.dumps(line | {"source": "colours.csv"}) + "\n")
    version.sha256 = sha256_of(path)
    version.save()
    return version
