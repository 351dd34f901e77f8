from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "finetune_app.monitoring"
    label = "monitoring"

    def ready(self) -> None:
        from finetune_app.jobs import periodic_tasks
        from finetune_app.jobs.handlers import register
        from finetune_app.monitoring import periodic_tasks as tasks
        from finetune_app.monitoring import signals  # noqa: F401  (connects the receivers)
        from finetune_app.monitoring.jobs import DriftHandler

        register(DriftHandler())
        periodic_tasks.register(tasks.start_drift_checks, every_seconds=600)
