from django.apps import AppConfig


class LabellingConfig(AppConfig):
    name = "finetune_app.labelling"
    label = "labelling"

    def ready(self) -> None:
        from finetune_app.labelling import signals  # noqa: F401  (connects the receivers)
