from django.apps import AppConfig


class DeploymentConfig(AppConfig):
    name = "finetune_app.deployment"
    label = "deployment"

    def ready(self) -> None:
        from finetune_app.deployment import chores, signals  # noqa: F401
        from finetune_app.deployment.drift_jobs import DriftHandler
        from finetune_app.jobs import periodic_tasks
        from finetune_app.jobs.handlers import register

        register(DriftHandler())
        periodic_tasks.register(chores.add_up, every_seconds=20)
        periodic_tasks.register(chores.forget, every_seconds=60)
        periodic_tasks.register(chores.compare, every_seconds=600)
