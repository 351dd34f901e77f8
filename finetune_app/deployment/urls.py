from django.urls import path

from finetune_app.deployment.views import adapter_download, aliases, deployment, versions

app_name = "deployment"
urlpatterns = [
    path("", deployment.page, name="page"),
    path("go-live/", deployment.go_live, name="go_live"),
    path("pause/", deployment.pause, name="pause"),
    path("names/", aliases.add, name="add_alias"),
    path("names/<int:alias_id>/remove/", aliases.remove, name="remove_alias"),
    path("versions/", versions.page, name="versions"),
    path("versions/<int:number>/share/", versions.set_canary_percent, name="set_canary_percent"),
    path("versions/<int:number>/everybody/", versions.promote, name="promote"),
    path("versions/<int:number>/take-back/", versions.withdraw, name="withdraw"),
    path("versions/<int:number>/roll-back/", versions.roll_back, name="roll_back"),
    path("training/<int:number>/adapter.zip", adapter_download.adapter, name="adapter"),
]
