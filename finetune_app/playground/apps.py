from django.apps import AppConfig


class PlaygroundConfig(AppConfig):
    name = "finetune_app.playground"
    label = "playground"
