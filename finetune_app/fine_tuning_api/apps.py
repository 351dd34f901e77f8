from django.apps import AppConfig


class FineTuningApiConfig(AppConfig):
    name = "finetune_app.fine_tuning_api"
    label = "fine_tuning_api"

    def ready(self) -> None:
        from finetune_app.accounts import storage
        from finetune_app.core.row_files import delete_folder_with
        from finetune_app.fine_tuning_api import lookup, signals  # noqa: F401
        from finetune_app.fine_tuning_api.models import ApiFile, ApiUpload, ApiUploadPart
        from finetune_app.fine_tuning_api.periodic_tasks import TASKS
        from finetune_app.gateway import model_lookup
        from finetune_app.jobs import periodic_tasks

        model_lookup.register_tuned_models(lookup.tuned_models)
        storage.register(ApiFile, "team")
        storage.register(ApiUploadPart, "upload__team")
        delete_folder_with(ApiUpload, lambda upload: upload.folder)
        periodic_tasks.register(*TASKS)
