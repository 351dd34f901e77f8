from django.urls import path

from finetune_app.candidates import views

app_name = "candidates"
urlpatterns = [
    path("", views.chat, name="chat"),
    path("stream/", views.stream, name="stream"),
]
