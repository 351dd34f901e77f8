from django.apps import AppConfig


class CountingConfig(AppConfig):
    """Registers the jobs that count, in processes that a test starts."""

    name = "tests.worker.counting"
    label = "counting"

    def ready(self) -> None:
        from finetune_app.jobs.handlers import register
        from tests.worker.counting.handlers import HANDLERS
        from worker import warm_child

        warm_child.LIBRARIES = ("json",)  # fast to import
        for handler in HANDLERS:
            register(handler)
