"""Writes to users, teams and invitations; no other module writes them."""

from finetune_app.accounts.services.invitations import (
    INVITATION_DAYS,
    accept,
    invitation_for,
    invite,
    join_as_new,
    withdraw,
)
from finetune_app.accounts.services.lockout import address_is_locked
from finetune_app.accounts.services.people import (
    change_password,
    change_profile,
    delete_account,
    make_account,
    part_from_provider,
    password_is_right,
    set_operator,
    teams_left_without_owner,
    teams_that_go_with,
)
from finetune_app.accounts.services.second_factor import (
    has_second_factor,
    passkeys_work,
    remove_second_factor,
    set_second_factor_rule,
    somebody_has_a_passkey,
    users_without_second_factor,
)
from finetune_app.accounts.services.sessions import (
    end_other_sessions,
    end_session,
    list_sessions,
    note_use,
)
from finetune_app.accounts.services.set_up import (
    check_code,
    create_owner,
    is_current,
    set_up,
    set_up_needed,
    set_up_url,
)
from finetune_app.accounts.services.teams import (
    change_role,
    delete_team,
    make_team,
    remove_member,
    rename_team,
    set_job_priority,
)

__all__ = [
    "INVITATION_DAYS",
    "accept",
    "address_is_locked",
    "change_password",
    "change_profile",
    "change_role",
    "check_code",
    "create_owner",
    "delete_account",
    "delete_team",
    "end_other_sessions",
    "end_session",
    "has_second_factor",
    "invitation_for",
    "invite",
    "is_current",
    "join_as_new",
    "list_sessions",
    "make_account",
    "make_team",
    "note_use",
    "part_from_provider",
    "passkeys_work",
    "password_is_right",
    "remove_member",
    "remove_second_factor",
    "rename_team",
    "set_job_priority",
    "set_operator",
    "set_second_factor_rule",
    "set_up",
    "set_up_needed",
    "set_up_url",
    "somebody_has_a_passkey",
    "teams_left_without_owner",
    "teams_that_go_with",
    "users_without_second_factor",
    "withdraw",
]
