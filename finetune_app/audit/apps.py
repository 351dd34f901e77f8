from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "finetune_app.audit"
    label = "audit"

    def ready(self) -> None:
        from finetune_app.audit import signals  # noqa: F401  (connects the receivers)
        from finetune_app.audit.periodic_tasks import TASKS
        from finetune_app.jobs import periodic_tasks

        periodic_tasks.register(*TASKS)
