from django.apps import AppConfig


class ExportsConfig(AppConfig):
    name = "finetune_app.exports"
    label = "exports"

    def ready(self) -> None:
        from finetune_app.exports import files  # noqa: F401  (connects its receivers)
