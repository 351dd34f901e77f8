from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "finetune_app.evaluation"
    label = "evaluation"
