from django.urls import path

from finetune_app.prompt_sheets import views

app_name = "prompt_sheets"
urlpatterns = [
    path("", views.page, name="page"),
    path("new/", views.new, name="new"),
    path("<int:sheet_id>/", views.detail, name="detail"),
    path("<int:sheet_id>/marks/<int:index>/", views.mark, name="mark"),
    path("<int:sheet_id>/notes/<int:index>/", views.note, name="note"),
    path("<int:sheet_id>/names/", views.show_names, name="show_names"),
    path("<int:sheet_id>/download/<str:form>/", views.download_sheet, name="download"),
    path("<int:sheet_id>/stop/", views.stop, name="stop"),
    path("<int:sheet_id>/continue/", views.resume, name="continue"),
    path("<int:sheet_id>/delete/", views.delete, name="delete"),
]
