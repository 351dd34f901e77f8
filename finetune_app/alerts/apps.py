from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "finetune_app.alerts"
    label = "alerts"

    def ready(self) -> None:
        from finetune_app.alerts.periodic_tasks import TASKS
        from finetune_app.jobs import periodic_tasks

        periodic_tasks.register(*TASKS)
