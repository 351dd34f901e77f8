from django.apps import AppConfig


class OpenAIImportConfig(AppConfig):
    name = "finetune_app.openai_import"
    label = "openai_import"

    def ready(self) -> None:
        from finetune_app.jobs import periodic_tasks
        from finetune_app.openai_import.periodic_tasks import TASKS

        periodic_tasks.register(*TASKS)
