from django.urls import path

from finetune_app.remote_training import views

app_name = "remote_training"
urlpatterns = [
    path("team/platforms/", views.accounts, name="accounts"),
    path("team/platforms/add/", views.add_account, name="add_account"),
    path("team/platforms/<int:account_id>/", views.change_account, name="change_account"),
    path("team/platforms/<int:account_id>/delete/", views.delete_account, name="delete_account"),
    path("goals/<int:goal_id>/training-elsewhere/", views.where, name="where"),
    path(
        "goals/<int:goal_id>/training-elsewhere/on/<int:account_id>/", views.launch, name="launch"
    ),
    path("goals/<int:goal_id>/training-elsewhere/<int:number>/", views.detail, name="detail"),
    path("goals/<int:goal_id>/training-elsewhere/<int:number>/stop/", views.stop, name="stop"),
    path(
        "goals/<int:goal_id>/training-elsewhere/<int:number>/continue/",
        views.resume,
        name="continue",
    ),
    path(
        "goals/<int:goal_id>/training-elsewhere/<int:number>/delete/", views.delete, name="delete"
    ),
]
