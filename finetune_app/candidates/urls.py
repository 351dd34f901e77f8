from django.urls import path

from finetune_app.candidates.views import chat, suggestions, workbench

app_name = "candidates"
urlpatterns = [
    path("chat/", chat.chat, name="chat"),
    path("chat/stream/", chat.stream, name="stream"),
    path("instructions/", workbench.page, name="workbench"),
    path("instructions/save/", workbench.save, name="save"),
    path("instructions/try/", workbench.try_some, name="try_some"),
    path("instructions/shots/", workbench.change_shots, name="change_shots"),
    path("instructions/hint/", workbench.take_hint, name="take_hint"),
    path("instructions/suggest/", workbench.suggest, name="suggest"),
    path("instructions/keep/", workbench.keep, name="keep"),
    path("instructions/versions/<int:kept_id>/", workbench.version, name="version"),
    path("instructions/versions/<int:kept_id>/use/", workbench.take_up, name="take_up"),
    path("instructions/versions/<int:kept_id>/forget/", workbench.forget, name="forget"),
    path("suggestions/", suggestions.page, name="suggestions"),
    path("suggestions/stop/", suggestions.stop, name="stop_suggestions"),
]
