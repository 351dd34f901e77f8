from django.apps import AppConfig


class BatchesConfig(AppConfig):
    name = "finetune_app.batches"
    label = "batches"

    def ready(self) -> None:
        from finetune_app.batches.jobs import BatchHandler
        from finetune_app.jobs.handlers import register

        register(BatchHandler())
