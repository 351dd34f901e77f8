from django.apps import AppConfig


class FineTuningApiConfig(AppConfig):
    name = "finetune_app.fine_tuning_api"
    label = "fine_tuning_api"

    def ready(self) -> None:
        from finetune_app.accounts import storage
        from finetune_app.fine_tuning_api import lookup, signals  # noqa: F401
        from finetune_app.fine_tuning_api.models import ApiFile
        from finetune_app.gateway import model_lookup

        model_lookup.register_tuned_models(lookup.tuned_models)
        storage.register(ApiFile, "team")
