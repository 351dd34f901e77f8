"""Keys of the team, under /team/keys/."""

from django.urls import path

from finetune_app.api_keys.views import team_keys

app_name = "api_keys"
urlpatterns = [
    path("", team_keys.page, name="page"),
    path("new/", team_keys.new, name="new"),
    path("<int:key_id>/", team_keys.change, name="change"),
    path("<int:key_id>/rotate/", team_keys.rotate, name="rotate"),
    path("<int:key_id>/revoke/", team_keys.revoke, name="revoke"),
]
