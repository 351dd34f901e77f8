from django.urls import path, register_converter

from finetune_app.deployment.api import (
    chat,
    completions,
    embeddings,
    feedback,
    files,
    jobs,
    models,
    unknown,
)


class Anything:
    """Whatever was asked for, a line end in it included: the answer is ours and in JSON."""

    regex = r"[\s\S]*"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Anything, "anything")

app_name = "v1"
urlpatterns = [
    path("models", models.listing, name="models"),
    path("models/<anything:name>", models.detail, name="model"),
    path("chat/completions", chat.completions, name="chat"),
    path("completions", completions.completions, name="completions"),
    path("embeddings", embeddings.embeddings, name="embeddings"),
    path("feedback", feedback.give, name="feedback"),
    path("files", files.files, name="files"),
    path("files/<slug:file_id>", files.file, name="file"),
    path("files/<slug:file_id>/content", files.content, name="content"),
    path("fine_tuning/jobs", jobs.jobs, name="jobs"),
    path("fine_tuning/jobs/<slug:job_id>", jobs.job, name="job"),
    path("fine_tuning/jobs/<slug:job_id>/events", jobs.events, name="events"),
    path("fine_tuning/jobs/<slug:job_id>/checkpoints", jobs.checkpoints, name="checkpoints"),
    path("fine_tuning/jobs/<slug:job_id>/<slug:action>", jobs.act, name="act"),
    path("<anything:rest>", unknown.address, name="unknown"),
]
