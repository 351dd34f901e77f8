from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "finetune_app.monitoring"
    label = "monitoring"

    def ready(self) -> None:
        from finetune_app.jobs import periodic_tasks
        from finetune_app.jobs.handlers import register
        from finetune_app.monitoring import signals  # noqa: F401  (connects the receivers)
        from finetune_app.monitoring.jobs import DriftHandler
        from finetune_app.monitoring.periodic_tasks import TASKS

        register(DriftHandler())
        periodic_tasks.register(*TASKS)
