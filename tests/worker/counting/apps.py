from django.apps import AppConfig


class CountingConfig(AppConfig):
    """The kinds of job that count, for the processes that a test starts."""

    name = "tests.worker.counting"
    label = "counting"

    def ready(self) -> None:
        from finetune_app.jobs.handlers import register
        from tests.worker.counting.handlers import HANDLERS
        from worker import warm_child

        warm_child.LIBRARIES = ("json",)  # imported in no time
        for handler in HANDLERS:
            register(handler)
