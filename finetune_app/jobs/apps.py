from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "finetune_app.jobs"
    label = "jobs"

    def ready(self) -> None:
        from finetune_app.jobs import periodic_tasks
        from finetune_app.jobs.journals import TASKS

        periodic_tasks.register(*TASKS)
