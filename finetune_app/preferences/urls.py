from django.urls import path

from finetune_app.preferences import views

app_name = "preferences"
urlpatterns = [
    path("", views.page, name="page"),
    path("stop/", views.stop, name="stop"),
    path("continue/", views.resume, name="continue"),
    path("choose/", views.choose, name="choose"),
    path("write/<int:pair_id>/<str:side>/", views.write, name="write"),
    path("undo/", views.undo, name="undo"),
    path("freeze/", views.freeze, name="freeze"),
]
