from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    name = "finetune_app.datasets"
    label = "datasets"
