from django.apps import AppConfig


class BatchesConfig(AppConfig):
    name = "finetune_app.batches"
    label = "batches"

    def ready(self) -> None:
        from finetune_app.batches.jobs import BatchHandler, finish_all_failed
        from finetune_app.jobs import periodic_tasks
        from finetune_app.jobs.handlers import register

        register(BatchHandler())
        periodic_tasks.register(periodic_tasks.PeriodicTask(finish_all_failed, every_seconds=600))
