from django.urls import path

from finetune_app.playground.views import public_chat

app_name = "public_chat"
urlpatterns = [path("<str:link>/", public_chat.page, name="page")]
