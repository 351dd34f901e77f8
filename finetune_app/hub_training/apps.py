from django.apps import AppConfig
from django.db.models.signals import post_delete, pre_delete


class HubTrainingConfig(AppConfig):
    name = "finetune_app.hub_training"
    label = "hub_training"

    def ready(self) -> None:
        from finetune_app.hub_training.account import keep_cost
        from finetune_app.hub_training.jobs import HubTrainingHandler
        from finetune_app.hub_training.made_training import delete_unused
        from finetune_app.hub_training.models import HubTraining
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with
        from finetune_app.remote_training.signals import keep_what_runs

        register(HubTrainingHandler())
        pre_delete.connect(keep_what_runs, sender=HubTraining)
        pre_delete.connect(keep_cost, sender=HubTraining)
        post_delete.connect(delete_unused, sender=HubTraining)
        delete_job_with(HubTraining, lambda training: training.folder)
