from django.urls import path

from finetune_app.playground.views import chat_page_settings, playground

app_name = "playground"
urlpatterns = [
    path("playground/", playground.page, name="page"),
    path("playground/code/", playground.code, name="code"),
    path("chat-page/", chat_page_settings.page, name="chat_page"),
    path("chat-page/link/", chat_page_settings.new_link, name="new_chat_link"),
]
