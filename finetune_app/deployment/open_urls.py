from django.urls import path

from finetune_app.deployment.views import open_chat

app_name = "open"
urlpatterns = [path("<str:link>/", open_chat.page, name="page")]
