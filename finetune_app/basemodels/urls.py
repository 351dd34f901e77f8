from django.urls import path

from finetune_app.basemodels import views

app_name = "basemodels"
urlpatterns = [
    path("", views.page, name="page"),
    path("choose/", views.choose, name="choose"),
    path("install/", views.install, name="install"),
    path("install/<int:install_id>/", views.progress, name="progress"),
    path("install/<int:install_id>/stop/", views.stop, name="stop"),
    path("install/<int:install_id>/cancel/", views.cancel, name="cancel"),
    path("install/<int:install_id>/continue/", views.resume, name="continue"),
    path("starter/", views.starter, name="starter"),
    path("search/", views.search, name="search"),
    path("token/", views.token, name="token"),
]
