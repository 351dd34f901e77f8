from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "finetune_app.training"
    label = "training"

    def ready(self) -> None:
        from finetune_app.accounts import storage
        from finetune_app.checks import token_limit_lookup
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with
        from finetune_app.training.jobs import TrainingHandler
        from finetune_app.training.longest_example import token_limit_of
        from finetune_app.training.models import Training

        token_limit_lookup.set_lookup(token_limit_of)
        register(TrainingHandler())
        storage.register(Training, "goal__team")
        delete_job_with(Training, lambda training: training.folder)
