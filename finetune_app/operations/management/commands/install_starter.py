"""manage.py install_starter: installs the starter model and measures this machine with it.

Does nothing where both is done already.
"""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from finetune_app.basemodels import services, starter_install
from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.core.files import is_local, local_folder, names_below, publish_folder
from finetune_app.core.machine import this_machine, training_environment
from finetune_app.guide.sample import sample

RETRY_SECONDS = 20


class Command(BaseCommand):
    help = "Install the starter model, and measure how fast this machine learns."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--keep-trying",
            action="store_true",
            help="Until it is there. Pages say why it is not.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with starter_install.installing() as say:
            while problem := install():
                if not options["keep_trying"]:
                    raise CommandError(f"{problem} Then run this again.")
                self.stderr.write(problem)
                say(problem)
                time.sleep(RETRY_SECONDS)
        self.measure_speed()

    def measure_speed(self) -> None:
        """Measure the training speed once: a few steps of the starter on the sample data. Then
        the starter reads the everyday rows, for all later trainings."""
        model = BaseModel.objects.get(slug=STARTER)
        if is_measured(model):
            return
        self.stdout.write("Measuring how fast this machine learns, less than a minute.")
        rows = json.dumps([row["messages"] for row in sample().rows[:32]])
        folder = str(local_folder(model.folder))
        done = run_child(
            "worker.training.measure_speed", folder, input=rows, stdout=subprocess.PIPE
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            self.stdout.write("It could not be measured; times shown are guesses for now.")
            return
        if done.returncode:
            self.stdout.write("The everyday rows could not be read: the first training reads them.")
        found = json.loads(lines[-1])
        Speed.objects.create(base_model=model, what="training", device=_device(), **found)
        self.stdout.write(f"About {found['tokens_per_second']:.0f} tokens a second.")


def install() -> str:
    """Make the starter here, or do nothing where the shared store has it from another machine.

    Returns why it could not be had and what to do about it; "" if it is there.
    """
    model = BaseModel.objects.filter(slug=STARTER).first()
    if model and _is_in_shared_store(model):
        return ""
    if not (model and _has_weights()):
        models = Path(settings.DATA_DIR) / "models"
        done = run_child("worker.installs.starter", "--to", str(models))
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["The starter model did not come."])[-1]
        model = services.register_starter()
    publish_folder(model.folder)
    return ""


def is_done() -> bool:
    """Whether the starter is where it belongs and this machine is measured."""
    model = BaseModel.objects.filter(slug=STARTER).first()
    if model is None or not (_has_weights() if is_local() else _is_in_shared_store(model)):
        return False
    return is_measured(model)


def is_measured(model: BaseModel) -> bool:
    return model.speeds.filter(what="training", device=_device()).exists()


def _device() -> str:
    return this_machine(settings.DATA_DIR).device


def _is_in_shared_store(model: BaseModel) -> bool:
    needed = {f"{model.folder}/{name}" for name in model.files}
    return not is_local() and needed <= set(names_below(model.folder))


def _has_weights() -> bool:
    return (Path(settings.DATA_DIR) / "models" / STARTER / "model.safetensors").exists()


def run_child(module: str, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """In the environment of a training, without progress bars and log messages. The child dies
    with this process; what it says of an error is in `stderr`."""
    quiet = {
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    die_with_us = [sys.executable, "-m", "finetune_app.core.parent_death", str(os.getpid())]
    return subprocess.run(
        [*die_with_us, sys.executable, "-m", module, *words],
        stderr=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
        env=training_environment() | dict(os.environ) | quiet,
        **options,
    )
