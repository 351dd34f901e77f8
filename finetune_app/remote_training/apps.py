from django.apps import AppConfig
from django.db.models.signals import pre_delete


class RemoteTrainingConfig(AppConfig):
    name = "finetune_app.remote_training"
    label = "remote_training"

    def ready(self) -> None:
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with
        from finetune_app.remote_training.jobs import RemoteTrainingHandler
        from finetune_app.remote_training.models import RemoteTraining
        from finetune_app.remote_training.signals import keep_cost, keep_what_runs

        register(RemoteTrainingHandler())
        pre_delete.connect(keep_what_runs, sender=RemoteTraining)
        pre_delete.connect(keep_cost, sender=RemoteTraining)
        delete_job_with(RemoteTraining, lambda training: training.folder)
