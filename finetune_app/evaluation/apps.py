from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "finetune_app.evaluation"
    label = "evaluation"

    def ready(self) -> None:
        from finetune_app.evaluation import files  # noqa: F401  (connects its receivers)
        from finetune_app.evaluation.jobs import EvaluationHandler
        from finetune_app.jobs.handlers import register

        register(EvaluationHandler())
