from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """What runs an installation: commands, the operator's page, retention. It has no models."""

    name = "finetune_app.operations"

    def ready(self) -> None:
        from finetune_app.jobs import periodic_tasks
        from finetune_app.operations import signals  # noqa: F401  (connects the receivers)
        from finetune_app.operations.periodic_tasks import TASKS

        periodic_tasks.register(*TASKS)
