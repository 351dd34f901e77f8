from django.urls import path

from finetune_app.evaluation.votes import public_views

app_name = "public_vote"
urlpatterns = [path("<str:vote_secret>/", public_views.page, name="page")]
