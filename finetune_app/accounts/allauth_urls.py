"""Addresses whose names allauth looks up itself, so they have no namespace."""

from django.conf import settings
from django.urls import path

from finetune_app.accounts.views import auth, oidc, reauthentication, second_factor

urlpatterns = [
    path("sign-in/", auth.sign_in, name="account_login"),
    path("sign-in/code/", second_factor.sign_in_code, name="mfa_authenticate"),
    path("sign-in/passkey/", second_factor.sign_in_passkey, name="mfa_login_webauthn"),
    path("account/confirm/", reauthentication.confirm_with_password, name="account_reauthenticate"),
    path("account/confirm/code/", reauthentication.confirm_with_code, name="mfa_reauthenticate"),
    path(
        "account/confirm/passkey/",
        reauthentication.confirm_with_passkey,
        name="mfa_reauthenticate_webauthn",
    ),
    path("account/second-factor/", second_factor.second_factor, name="mfa_index"),
    path("account/second-factor/", second_factor.second_factor, name="mfa_list_webauthn"),
    path("account/second-factor/app/", second_factor.add_app, name="mfa_activate_totp"),
    path("account/second-factor/app/remove/", second_factor.remove_app, name="mfa_deactivate_totp"),
    path(
        "account/second-factor/recovery-codes/",
        second_factor.recovery_codes,
        name="mfa_view_recovery_codes",
    ),
    path(
        "account/second-factor/recovery-codes/new/",
        second_factor.new_recovery_codes,
        name="mfa_generate_recovery_codes",
    ),
    path("account/second-factor/passkey/", second_factor.add_passkey, name="mfa_add_webauthn"),
    path(
        "account/second-factor/passkey/<int:passkey_id>/remove/",
        second_factor.remove_passkey,
        name="mfa_remove_webauthn",
    ),
]

if settings.OIDC:
    urlpatterns += [
        path("sign-in/<slug:provider_id>/", oidc.sign_in_oidc, name="openid_connect_login"),
        path(
            "sign-in/<slug:provider_id>/callback/",
            oidc.oidc_callback,
            name="openid_connect_callback",
        ),
        path("account/confirm/provider/", oidc.confirm_with_provider, name="confirm_with_provider"),
    ]
