from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "finetune_app.core"
    label = "core"
