from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "finetune_app.alerts"
    label = "alerts"

    def ready(self) -> None:
        from finetune_app.alerts import periodic_tasks as tasks
        from finetune_app.jobs import periodic_tasks

        periodic_tasks.register(tasks.check_rules, every_seconds=60)
        periodic_tasks.register(tasks.send_notices, every_seconds=10)
        periodic_tasks.register(tasks.run_due_rechecks, every_seconds=600)
