"""Every address. Each room has its own urls.py; every view declares its policy."""

from django.urls import include, path

from finetune_app.monitoring.views import metrics

urlpatterns = [
    path("metrics", metrics.show, name="metrics"),
    path("v1/", include("finetune_app.batches.urls")),
    path("v1/", include("finetune_app.fine_tuning_api.urls")),
    path("v1/", include("finetune_app.gateway.urls")),  # answers every other address under /v1/
    path("chat/", include("finetune_app.playground.public_chat_urls")),
    path("vote/", include("finetune_app.evaluation.votes.public_urls")),
    path("", include("finetune_app.guide.urls")),
    path("", include("finetune_app.accounts.urls")),
    path("", include("finetune_app.accounts.allauth_urls")),
    path("operator/", include("finetune_app.operations.urls")),
    path("account/", include("finetune_app.operations.account_urls")),
    path("team/keys/", include("finetune_app.api_keys.urls")),
    path("team/audit/", include("finetune_app.audit.urls")),
    path("team/models/", include("finetune_app.providers.urls")),
    path("", include("finetune_app.remote_training.urls")),
    path("from-openai/", include("finetune_app.openai_import.urls")),
    path("", include("finetune_app.hub_training.urls")),
    path("goals/", include("finetune_app.goals.urls")),
    path("goals/<int:goal_id>/dataset/", include("finetune_app.datasets.urls")),
    path("goals/<int:goal_id>/dataset/", include("finetune_app.checks.urls")),
    path("goals/<int:goal_id>/dataset/", include("finetune_app.versions.urls")),
    path("goals/<int:goal_id>/dataset/", include("finetune_app.imports.urls")),
    path("goals/<int:goal_id>/dataset/", include("finetune_app.labelling.urls")),
    path("goals/<int:goal_id>/dataset/choices/", include("finetune_app.preferences.urls")),
    path("goals/<int:goal_id>/base-model/", include("finetune_app.basemodels.urls")),
    path("goals/<int:goal_id>/documents/", include("finetune_app.knowledge.urls")),
    path("goals/<int:goal_id>/training/", include("finetune_app.training.urls")),
    path(
        "goals/<int:goal_id>/training-searches/",
        include("finetune_app.hyperparameter_search.urls"),
    ),
    path("goals/<int:goal_id>/evaluation/", include("finetune_app.evaluation.urls")),
    path(
        "goals/<int:goal_id>/evaluation/<int:evaluation_id>/judge/",
        include("finetune_app.judging.urls"),
    ),
    path(
        "goals/<int:goal_id>/evaluation/prompts/",
        include("finetune_app.prompt_sheets.urls"),
    ),
    path("goals/<int:goal_id>/", include("finetune_app.candidates.urls")),
    path("goals/<int:goal_id>/deployment/", include("finetune_app.deployment.urls")),
    path("goals/<int:goal_id>/deployment/", include("finetune_app.api_keys.deployment_urls")),
    path("goals/<int:goal_id>/deployment/", include("finetune_app.playground.urls")),
    path("goals/<int:goal_id>/deployment/requests/", include("finetune_app.request_log.urls")),
    path("goals/<int:goal_id>/deployment/monitor/", include("finetune_app.monitoring.urls")),
    path("goals/<int:goal_id>/deployment/alerts/", include("finetune_app.alerts.urls")),
    path("goals/<int:goal_id>/deployment/exports/", include("finetune_app.model_export.urls")),
]

handler400 = "finetune_app.core.views.bad_request"
handler403 = "finetune_app.core.views.forbidden"
handler404 = "finetune_app.core.views.not_found"
handler429 = "finetune_app.core.views.too_many_requests"  # allauth looks for it here
handler500 = "finetune_app.core.views.server_error"
