from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    name = "finetune_app.api_keys"
    label = "api_keys"

    def ready(self) -> None:
        from finetune_app.api_keys import signals  # noqa: F401  (connects the receivers)
