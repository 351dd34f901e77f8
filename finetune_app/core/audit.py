"""What the audit log may say was done, and how a view names what it was done to.

A view declares its action beside its policy: `@member(Role.OWNER, "POST", audit=AuditAction.…)`.
The middleware of the audit room writes the line.
"""

from typing import NamedTuple

from django.db.models import Model, TextChoices
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class AuditAction(TextChoices):
    """Past tense: what was done, if the line's status says that it was."""

    # Signing in
    SIGNED_IN = "account.signed_in", _("signed in")
    SIGN_IN_FAILED = "account.sign_in_failed", _("failed to sign in")
    SIGNED_OUT = "account.signed_out", _("signed out")
    # Accounts
    SET_UP = "account.set_up", _("made the first account")
    PROFILE_CHANGED = "account.profile_changed", _("changed their name or e-mail address")
    PASSWORD_CHANGED = "account.password_changed", _("changed their password")
    SESSIONS_ENDED = "account.sessions_ended", _("signed out of other browsers")
    SECOND_FACTOR_ADDED = "account.second_factor_added", _("added a second factor")
    SECOND_FACTOR_REMOVED = "account.second_factor_removed", _("removed a second factor")
    RECOVERY_CODES_MADE = "account.recovery_codes_made", _("made new recovery codes")
    OWN_DATA_EXPORTED = "account.data_exported", _("downloaded their own data")
    ACCOUNT_DELETED = "account.deleted", _("deleted their account")
    # Teams
    TEAM_CREATED = "team.created", _("created a team")
    TEAM_RENAMED = "team.renamed", _("renamed the team")
    TEAM_DELETED = "team.deleted", _("deleted the team")
    SECOND_FACTOR_RULE = "team.second_factor_rule", _("changed whether a second factor is needed")
    INVITED = "team.invited", _("made an invitation")
    INVITATION_WITHDRAWN = "team.invitation_withdrawn", _("withdrew an invitation")
    JOINED = "team.joined", _("joined the team")
    LEFT = "team.left", _("left the team")
    ROLE_CHANGED = "team.role_changed", _("changed a member's role")
    MEMBER_REMOVED = "team.member_removed", _("removed a member")
    AUDIT_EXPORTED = "team.audit_exported", _("downloaded the audit log")
    # Keys and tokens
    KEY_CREATED = "key.created", _("created an API key")
    KEY_CHANGED = "key.changed", _("changed an API key")
    KEY_ROTATED = "key.rotated", _("gave an API key a new secret")
    KEY_REVOKED = "key.revoked", _("revoked an API key")
    ENDPOINT_ADDED = "endpoint.added", _("added a remote model")
    ENDPOINT_CHANGED = "endpoint.changed", _("changed a remote model")
    ENDPOINT_DELETED = "endpoint.deleted", _("deleted a remote model")
    PLATFORM_ADDED = "platform.added", _("connected a training platform")
    PLATFORM_CHANGED = "platform.changed", _("changed a training platform")
    PLATFORM_DELETED = "platform.deleted", _("removed a training platform")
    HUB_TOKEN_CHANGED = "hub_token.changed", _("changed the token of the model hub")
    HUB_JOBS_CHANGED = "hub_jobs.changed", _("changed the cap or token of Hugging Face Jobs")
    # Goals and what lies in them
    GOAL_CREATED = "goal.created", _("created a goal")
    GOAL_DELETED = "goal.deleted", _("deleted a goal")
    TRASH_EMPTIED = "dataset.trash_emptied", _("emptied the trash of a dataset")
    DATA_EXPORTED = "dataset.exported", _("downloaded examples")
    FILE_DELETED = "file.deleted", _("deleted an uploaded file")
    FILE_EXPORTED = "file.exported", _("downloaded an uploaded file")
    DOCUMENT_DELETED = "document.deleted", _("deleted a document")
    BASE_MODEL_INSTALLED = "base_model.installed", _("installed a base model")
    SENT_TO_PLATFORM = "training.sent", _("sent examples to a training platform")
    TRAINING_DELETED = "training.deleted", _("deleted a training")
    EVALUATION_DELETED = "evaluation.deleted", _("deleted an evaluation")
    JUDGE_ASKED = "judge.asked", _("asked a judge about an evaluation")
    JUDGEMENT_DELETED = "judge.deleted", _("deleted what a judge said")
    PROMPT_SHEET_DELETED = "prompt_sheet.deleted", _("deleted prompts without wanted answers")
    PROMPT_SHEET_EXPORTED = (
        "prompt_sheet.exported",
        _("downloaded answers to prompts without wanted answers"),
    )
    EVALUATION_EXPORTED = "evaluation.exported", _("downloaded the results of an evaluation")
    VOTE_LINK_CREATED = "evaluation.vote_link_created", _("made a link for votes")
    VOTE_LINK_REVOKED = "evaluation.vote_link_revoked", _("ended a link for votes")
    PREFERENCES_EXPORTED = "evaluation.preferences_exported", _("downloaded preference pairs")
    MODEL_EXPORT_STARTED = "model.export_started", _("started a model export")
    MODEL_EXPORT_DELETED = "model.export_deleted", _("deleted a model export")
    MODEL_EXPORTED = "model.exported", _("downloaded a model")
    MODEL_PUSHED = "model.pushed", _("pushed a model to the hub")
    MODEL_PUSH_CONTINUED = "model.push_continued", _("continued a push to the hub")
    MODEL_PUSH_FORGOTTEN = "model.push_forgotten", _("deleted the record of a push to the hub")
    MODEL_CARD_EXPORTED = "model.card_exported", _("downloaded a model card")
    # Deployment
    WENT_LIVE = "deployment.went_live", _("put a model live")
    PAUSED = "deployment.paused_or_resumed", _("paused or resumed a deployment")
    CANARY_CHANGED = "deployment.canary_changed", _("changed the share of a version")
    PROMOTED = "deployment.promoted", _("let a version answer everybody")
    WITHDRAWN = "deployment.withdrawn", _("took a version back")
    ROLLED_BACK = "deployment.rolled_back", _("went back to an earlier version")
    ALIASES_CHANGED = "deployment.aliases_changed", _("changed the other names of a deployment")
    CHAT_PAGE_CHANGED = "deployment.chat_page_changed", _("changed the public chat page")
    CHAT_LINK_CHANGED = "deployment.chat_link_changed", _("gave the public chat page a new link")
    RETENTION_CHANGED = "requests.retention_changed", _("changed which texts are stored")
    TEXT_DELETED = "requests.text_deleted", _("deleted the text of a request")
    TEXTS_DELETED = "requests.texts_deleted", _("deleted all texts of a deployment")
    PRICE_CHANGED = "deployment.price_changed", _("changed the price of a deployment")
    ALERTS_CHANGED = "deployment.alerts_changed", _("changed the alerts of a deployment")
    # The machine
    JOB_STOPPED = "job.stopped", _("stopped a job as the operator")
    JOB_PRIORITY_CHANGED = "team.job_priority", _("changed when the team's jobs are run")
    ALL_AUDIT_EXPORTED = "operator.audit_exported", _("downloaded the audit log of all teams")
    OPERATOR_CHANGED = "command.operator", _("changed who is an operator")
    OWNER_CREATED = "command.create_owner", _("created an owner from the shell")
    PASSWORD_RESET = "command.reset_password", _("reset a password from the shell")
    SET_UP_ADDRESS = "command.set_up_address", _("made a set-up address from the shell")
    KEYS_COMMAND = "command.apikey", _("managed API keys from the shell")
    BACKED_UP = "command.backup", _("made a backup")
    RESTORED = "command.restore", _("restored a backup")
    SECRET_ROTATED = "command.rotate_secret", _("rotated a secret")
    OLD_SECRET_FORGOTTEN = "command.forget_old_secret", _("ended what an older secret opened")


class AuditTarget(NamedTuple):
    """A row by its model's name and its key; names and texts are not kept."""

    model: str
    pk: int
    team_id: int | None  # that it belongs to


def target_of(row: Model) -> AuditTarget:
    model = str(row._meta.model_name)
    team_id = row.pk if model == "team" else getattr(row, "team_id", None)
    return AuditTarget(model, row.pk, team_id)


def set_audit_target(request: HttpRequest, row: Model) -> None:
    """Name what the request made or changed, where its address does not. Call it before the row
    is deleted."""
    request.audit_target = target_of(row)  # type: ignore[attr-defined]
