from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "finetune_app.evaluation"
    label = "evaluation"

    def ready(self) -> None:
        from finetune_app.candidates.retrieval import keep_indexes_of
        from finetune_app.evaluation.jobs import EvaluationHandler
        from finetune_app.evaluation.models import Evaluation
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with

        register(EvaluationHandler())
        keep_indexes_of(Evaluation, "base", "ours", "others")
        delete_job_with(Evaluation, lambda one: f"evaluations/{one.pk}")
