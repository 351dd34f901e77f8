from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """What runs an installation: prepare, back up, restore, examine. It has no models."""

    name = "finetune_app.operations"
