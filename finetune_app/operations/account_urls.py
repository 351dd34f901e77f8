from django.urls import path

from finetune_app.operations import views

app_name = "own_data"
urlpatterns = [path("data/", views.my_data, name="export")]
