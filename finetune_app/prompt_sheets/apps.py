from django.apps import AppConfig


class PromptSheetsConfig(AppConfig):
    name = "finetune_app.prompt_sheets"
    label = "prompt_sheets"

    def ready(self) -> None:
        from finetune_app.candidates.retrieval import keep_indexes_of
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with
        from finetune_app.prompt_sheets.jobs import PromptSheetHandler
        from finetune_app.prompt_sheets.models import PromptSheet

        register(PromptSheetHandler())
        keep_indexes_of(PromptSheet, "candidates")
        delete_job_with(PromptSheet, lambda sheet: f"prompt_sheets/{sheet.pk}")
