from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "finetune_app.training"
    label = "training"

    def ready(self) -> None:
        from finetune_app.checks import token_limits
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with
        from finetune_app.training.jobs import TrainingHandler
        from finetune_app.training.models import Training
        from finetune_app.training.token_limits import token_limit_of

        token_limits.set_lookup(token_limit_of)
        register(TrainingHandler())
        delete_job_with(Training, lambda training: training.folder)
