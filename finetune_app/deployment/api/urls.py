from django.urls import path

from finetune_app.deployment.api import chat, models, unknown

app_name = "v1"
urlpatterns = [
    path("models", models.listing, name="models"),
    path("models/<path:name>", models.detail, name="model"),
    path("chat/completions", chat.completions, name="chat"),
    path("<path:rest>", unknown.address, name="unknown"),
]
