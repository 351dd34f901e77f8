"""Everything under /v1 except fine-tuning. The last pattern matches every other URL, so apps with
URLs under /v1 are included before this one."""

from django.urls import path, register_converter

from finetune_app.gateway.views import (
    chat,
    completions,
    embeddings,
    feedback,
    models,
    responses,
    unknown,
)


class AnythingConverter:
    """Any text, line breaks included, so that no URL under /v1 gets an HTML error page."""

    regex = r"[\s\S]*"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(AnythingConverter, "anything")

app_name = "gateway"
urlpatterns = [
    path("models", models.model_list, name="model_list"),
    path("models/<anything:name>", models.model_detail, name="model_detail"),
    path("chat/completions", chat.chat_completions, name="chat_completions"),
    path("completions", completions.text_completions, name="completions"),
    path("responses", responses.create_response, name="create_response"),
    path("responses/input_tokens", responses.count_input_tokens, name="count_input_tokens"),
    path("responses/<slug:response_id>", responses.response_detail, name="response_detail"),
    path("responses/<slug:response_id>/input_items", responses.input_items, name="input_items"),
    path("embeddings", embeddings.embeddings, name="embeddings"),
    path("feedback", feedback.feedback, name="feedback"),
    path("<anything:rest>", unknown.unknown_url, name="unknown_url"),
]
