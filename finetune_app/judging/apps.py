from django.apps import AppConfig


class JudgingConfig(AppConfig):
    name = "finetune_app.judging"
    label = "judging"

    def ready(self) -> None:
        from finetune_app.evaluation.report import additions
        from finetune_app.jobs.handlers import register
        from finetune_app.jobs.row_jobs import delete_job_with
        from finetune_app.judging.jobs import JudgeHandler
        from finetune_app.judging.models import JudgeRun
        from finetune_app.judging.report import SecondOpinions

        register(JudgeHandler())
        delete_job_with(JudgeRun, lambda run: f"judging/{run.pk}")
        additions.register(SecondOpinions())
