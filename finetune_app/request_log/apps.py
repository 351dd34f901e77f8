from django.apps import AppConfig


class RequestLogConfig(AppConfig):
    name = "finetune_app.request_log"
    label = "request_log"

    def ready(self) -> None:
        from finetune_app.jobs import periodic_tasks
        from finetune_app.request_log.periodic_tasks import TASKS

        periodic_tasks.register(*TASKS)
