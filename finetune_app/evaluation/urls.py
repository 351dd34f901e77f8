from django.urls import path

from finetune_app.evaluation import views
from finetune_app.evaluation.report import views as report

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
    path("<int:evaluation_id>/vote/", views.vote, name="vote"),
    path("<int:evaluation_id>/reveal/", views.reveal, name="reveal"),
    path("<int:evaluation_id>/stop/", views.stop, name="stop"),
    path("<int:evaluation_id>/continue/", views.resume, name="continue"),
    path("<int:evaluation_id>/delete/", views.delete, name="delete"),
]
