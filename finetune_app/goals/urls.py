from django.urls import path

from finetune_app.goals import views

app_name = "goals"
urlpatterns = [
    path("new/", views.new, name="new"),
    path("<int:goal_id>/", views.page, name="page"),
    path("<int:goal_id>/edit/", views.edit, name="edit"),
    path("<int:goal_id>/measure/", views.measure, name="measure"),
    path("<int:goal_id>/delete/", views.delete, name="delete"),
    path("<int:goal_id>/jobs/<int:job_id>/next/", views.run_next, name="run_next"),
]
