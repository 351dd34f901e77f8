from django.apps import AppConfig


class KnowledgeConfig(AppConfig):
    name = "finetune_app.knowledge"
    label = "knowledge"
