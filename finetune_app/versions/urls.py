from django.urls import path

from finetune_app.versions.views import downloads, versions

app_name = "versions"
urlpatterns = [
    path("freeze/", versions.freeze_version, name="freeze"),
    path("versions/", versions.list_page, name="list"),
    path("versions/<int:number>/", versions.detail, name="detail"),
    path("versions/<int:number>/name/", versions.rename, name="rename"),
    path("versions/<int:number>/against/<int:other>/", versions.compare, name="compare"),
    path("versions/<int:number>/download/<slug:form>/", downloads.version, name="download"),
]
