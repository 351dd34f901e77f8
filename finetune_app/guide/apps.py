from django.apps import AppConfig


class GuideConfig(AppConfig):
    name = "finetune_app.guide"
    label = "guide"
