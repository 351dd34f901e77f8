"""The job handler of installs."""

from pathlib import Path
from typing import cast

from django.conf import settings
from django.db import transaction

from finetune_app.basemodels import services
from finetune_app.basemodels.job_messages import InstalledModel
from finetune_app.basemodels.models import FATAL_INSTALL_ERRORS, Install
from finetune_app.core.files import delete_folder, publish_folder
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job, State


class InstallHandler(JobHandler):
    kind = JobKind(name="install", runner="worker.installs.run")

    def child_spec(self, job: Job) -> ChildSpec:
        """The hub token goes to the child over its pipe and is stored nowhere else."""
        install = Install.objects.select_related("team").get(job=job)
        data_dir = Path(settings.DATA_DIR).resolve()
        folder = data_dir / install.folder
        folder.mkdir(parents=True, exist_ok=True)
        return ChildSpec(
            folder=folder,
            spec={
                "source": install.source,
                "revision": install.revision,
                "from_folder": install.from_folder,
                "target": str(data_dir / "models" / install.slug),
                "token": None if install.from_folder else services.hub_token(install.team),
            },
        )

    def before_finish(self, job: Job, result: Result) -> None:
        """Publish the model's files, which may be gigabytes."""
        if not result.get("stopped"):
            publish_folder(f"models/{Install.objects.get(job=job).slug}")

    def finish(self, job: Job, result: Result) -> None:
        """Register the installed model."""
        if result.get("stopped"):
            return
        install = Install.objects.select_related("team").get(job=job)
        services.register_install(install=install, found=cast(InstalledModel, result))

    def fail(self, job: Job) -> None:
        """Keep the files if the install can be continued, else delete them."""
        install = Install.objects.filter(job=job).first()
        if install and (job.state == State.CANCELLED or job.error_code in FATAL_INSTALL_ERRORS):
            folder = install.folder
            transaction.on_commit(lambda: delete_folder(folder))
