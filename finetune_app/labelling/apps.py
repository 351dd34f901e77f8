from django.apps import AppConfig


class LabellingConfig(AppConfig):
    name = "finetune_app.labelling"
    label = "labelling"
