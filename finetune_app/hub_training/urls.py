from django.urls import path

from finetune_app.hub_training import views

app_name = "hub_training"
BASE = "goals/<int:goal_id>/training-on-the-hub"
urlpatterns = [
    path("team/hugging-face-jobs/", views.account, name="account"),
    path(f"{BASE}/", views.launch, name="launch"),
    path(f"{BASE}/<int:number>/", views.detail, name="detail"),
    path(f"{BASE}/<int:number>/stop/", views.stop, name="stop"),
    path(f"{BASE}/<int:number>/continue/", views.resume, name="continue"),
    path(f"{BASE}/<int:number>/delete/", views.delete, name="delete"),
]
