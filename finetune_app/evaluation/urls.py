from django.urls import path

from finetune_app.evaluation import views
from finetune_app.evaluation.report import views as report
from finetune_app.evaluation.votes import views as votes

app_name = "evaluation"
urlpatterns = [
    path("", views.page, name="page"),
    path("history/", views.history, name="history"),
    path("start/", views.start, name="start"),
    path("<int:evaluation_id>/", views.detail, name="detail"),
    path("<int:evaluation_id>/side-by-side/", views.side_by_side, name="side_by_side"),
    path("<int:evaluation_id>/notes/<int:index>/", views.note, name="note"),
    path(
        "<int:evaluation_id>/download/<str:form>/",
        report.download_results,
        name="download",
    ),
    path("<int:evaluation_id>/vote/", votes.vote, name="vote"),
    path("<int:evaluation_id>/reveal/", votes.reveal, name="reveal"),
    path("<int:evaluation_id>/votes/", votes.vote_list, name="votes"),
    path("<int:evaluation_id>/votes/links/", votes.create_link, name="create_vote_link"),
    path(
        "<int:evaluation_id>/votes/links/<int:vote_link_id>/revoke/",
        votes.revoke_link,
        name="revoke_vote_link",
    ),
    path(
        "<int:evaluation_id>/votes/preferences.jsonl",
        votes.preference_pairs,
        name="preference_pairs",
    ),
    path("<int:evaluation_id>/stop/", views.stop, name="stop"),
    path("<int:evaluation_id>/continue/", views.resume, name="continue"),
    path("<int:evaluation_id>/delete/", views.delete, name="delete"),
]
