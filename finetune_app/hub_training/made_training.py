"""What came back from the hub becomes a training of the goal, like one of this machine."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.core.files import delete_folder, local_folder, publish_folder, sha256_of
from finetune_app.hub_training.models import HubTraining
from finetune_app.hub_training.results import FETCHED, RESULT
from finetune_app.jobs.models import Job, State
from finetune_app.training.events import training_succeeded
from finetune_app.training.jobs import TrainingHandler
from finetune_app.training.models import Training
from finetune_app.training.protocol import ADAPTER


def make_training(remote: HubTraining) -> Training:
    """Called in the transaction in which the job succeeds; the files are copied, so that a
    transaction that fails can be made again."""
    came_back = f"{remote.folder}/{FETCHED}"
    fetched = local_folder(came_back)
    result: dict[str, Any] = json.loads((fetched / RESULT).read_text())["result"]
    result |= {"stopped": False, "adapter": ADAPTER, "machine": _machine(remote)}
    job = Job.objects.create(
        team=remote.goal.team,
        kind="training",
        title=remote.job.title,
        state=State.SUCCEEDED,
        message=_("Done."),
        result=result,
        started_at=remote.start_tried_at,
        running_at=remote.start_tried_at,
        ended_at=timezone.now(),
        done=result.get("steps") or 0,
        total=result.get("steps") or 0,
        unit="steps",
    )
    training = Training.objects.create(
        goal=remote.goal,
        number=remote.number,
        version=remote.version,
        base_model=remote.base_model,
        job=job,
        spec=remote.spec,
        started_by=remote.agreed_by,
    )
    _copy(fetched, training)
    _record(remote, training, result)
    HubTraining.objects.filter(pk=remote.pk).update(training=training)
    training_succeeded.send(Training, training=training)
    transaction.on_commit(lambda: delete_folder(came_back), robust=True)
    return training


def _link(source: str, target: str) -> None:
    """The same file under another name, where the disk can: no room and no time, while the database
    waits for the end of this transaction."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _copy(fetched: Path, training: Training) -> None:
    folder = Path(settings.DATA_DIR) / training.folder
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that failed
    for part in (ADAPTER, "steps"):
        if (fetched / part).is_dir():
            shutil.copytree(fetched / part, folder / part, copy_function=_link)
            publish_folder(f"{training.folder}/{part}")
    training.adapter_sha256 = sha256_of(folder / ADAPTER / training.weights_file)
    training.save(update_fields=["adapter_sha256"])


def _record(remote: HubTraining, training: Training, result: dict[str, Any]) -> None:
    """The curve, the sample answers and the warnings."""
    handler = TrainingHandler()
    for event in remote.events:
        if event["event"] in ("point", "sample", "warning"):
            handler.record(training.job, event)
    for step, sha256 in (result.get("kept_steps") or {}).items():
        if step.isdecimal() and len(step) < 10:
            weights = Path(settings.DATA_DIR) / training.folder_of_step(int(step))
            path = weights / training.weights_file
            if path.is_file() and sha256_of(path) == sha256:
                training.points.filter(step=int(step)).update(adapter_sha256=sha256)


def _machine(remote: HubTraining) -> str:
    return _("Hugging Face Jobs, %(flavor)s") % {"flavor": remote.flavor}
