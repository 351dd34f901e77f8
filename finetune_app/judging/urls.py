from django.urls import path

from finetune_app.judging import views

app_name = "judging"
urlpatterns = [
    path("", views.ask, name="ask"),
    path("<int:judge_run_id>/", views.detail, name="detail"),
    path("<int:judge_run_id>/stop/", views.stop, name="stop"),
    path("<int:judge_run_id>/continue/", views.resume, name="continue"),
    path("<int:judge_run_id>/delete/", views.delete, name="delete"),
]
