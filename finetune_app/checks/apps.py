from django.apps import AppConfig


class ChecksConfig(AppConfig):
    name = "finetune_app.checks"
    label = "checks"

    def ready(self) -> None:
        from finetune_app.checks import fixes, signals, table_filters  # noqa: F401
        from finetune_app.checks.jobs import CheckHandler
        from finetune_app.jobs.handlers import register

        register(CheckHandler())
        table_filters.register()
