from django.urls import path

from finetune_app.knowledge import views

app_name = "knowledge"
urlpatterns = [
    path("", views.page, name="page"),
    path("ask/", views.ask, name="ask"),
    path("add/", views.add, name="add"),
    path("again/", views.again, name="again"),
    path("stop/", views.stop, name="stop"),
    path("<int:document_id>/", views.document, name="document"),
    path("<int:document_id>/delete/", views.delete, name="delete"),
]
