from django.urls import path

from finetune_app.accounts.views import account, auth, sessions, team

app_name = "accounts"
urlpatterns = [
    path("set-up/", auth.set_up, name="set_up"),
    path("sign-in/", auth.sign_in, name="sign_in"),
    path("sign-out/", auth.sign_out, name="sign_out"),
    path("join/<str:secret>/", auth.join, name="join"),
    path("theme/", account.theme, name="theme"),
    path("account/", account.account_page, name="account"),
    path("account/password/", account.change_password, name="change_password"),
    path("account/delete/", account.delete_account, name="delete_account"),
    path("account/sessions/", sessions.session_list, name="sessions"),
    path("account/sessions/end-others/", sessions.end_other_sessions, name="end_other_sessions"),
    path("account/sessions/<int:session_id>/end/", sessions.end_session, name="end_session"),
    path("team/", team.team_page, name="team"),
    path("team/rename/", team.rename_team, name="rename_team"),
    path("team/second-factor/", team.second_factor_rule, name="second_factor_rule"),
    path("team/invite/", team.invite, name="invite"),
    path("team/invitations/<int:invitation_id>/withdraw/", team.withdraw, name="withdraw"),
    path("team/members/<int:membership_id>/role/", team.change_role, name="change_role"),
    path("team/members/<int:membership_id>/remove/", team.remove_member, name="remove_member"),
    path("team/leave/", team.leave_team, name="leave_team"),
    path("team/delete/", team.delete_team, name="delete_team"),
    path("teams/new/", team.new_team, name="new_team"),
    path("teams/switch/", team.switch_team, name="switch_team"),
]
