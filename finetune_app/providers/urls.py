from django.urls import path

from finetune_app.providers import views

app_name = "providers"
urlpatterns = [
    path("", views.page, name="page"),
    path("add/", views.add, name="add"),
    path("<int:endpoint_id>/", views.change, name="change"),
    path("<int:endpoint_id>/delete/", views.delete, name="delete"),
    path("<int:endpoint_id>/try/", views.try_it, name="try_it"),
]
