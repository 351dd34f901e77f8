from django.urls import path

from finetune_app.deployment import views

app_name = "deployment"
urlpatterns = [
    path("", views.page, name="page"),
    path("go-live/", views.go_live, name="go_live"),
    path("pause/", views.pause, name="pause"),
    path("versions/<int:number>/roll-back/", views.roll_back, name="roll_back"),
    path("keys/", views.new_key, name="new_key"),
    path("keys/<int:key_id>/revoke/", views.revoke, name="revoke"),
    path("training/<int:number>/adapter.zip", views.adapter, name="adapter"),
]
