from django.apps import AppConfig


class RequestLogConfig(AppConfig):
    name = "finetune_app.request_log"
    label = "request_log"

    def ready(self) -> None:
        from finetune_app.jobs import periodic_tasks
        from finetune_app.request_log import periodic_tasks as tasks

        periodic_tasks.register(tasks.roll_up, every_seconds=20)
        periodic_tasks.register(tasks.delete_expired, every_seconds=60)
