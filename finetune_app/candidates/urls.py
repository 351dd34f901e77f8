from django.urls import path

from finetune_app.candidates.views import chat, suggestions, workbench

app_name = "candidates"
urlpatterns = [
    path("chat/", chat.chat, name="chat"),
    path("chat/stream/", chat.stream, name="chat_stream"),
    path("chat/prefer/", chat.prefer, name="prefer"),
    path("instructions/", workbench.page, name="workbench"),
    path("instructions/save/", workbench.save_draft, name="save_draft"),
    path("instructions/try/", workbench.ask_prompts, name="ask_prompts"),
    path("instructions/shots/", workbench.change_shots, name="change_shots"),
    path("instructions/hint/", workbench.apply_hint, name="apply_hint"),
    path("instructions/suggest/", workbench.improve, name="improve"),
    path("instructions/keep/", workbench.save_version, name="save_version"),
    path("instructions/versions/<int:saved_id>/", workbench.compare_version, name="version"),
    path(
        "instructions/versions/<int:saved_id>/use/",
        workbench.restore_version,
        name="restore_version",
    ),
    path(
        "instructions/versions/<int:saved_id>/forget/",
        workbench.remove_version,
        name="remove_version",
    ),
    path("suggestions/", suggestions.page, name="suggestions"),
    path("suggestions/stop/", suggestions.stop, name="stop_suggestions"),
]
