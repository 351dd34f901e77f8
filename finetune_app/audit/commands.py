"""Commands of the shell that leave a line in the audit log; manage.py calls `record`."""

import logging
from collections.abc import Sequence

from django.db import DatabaseError

from finetune_app.accounts.models import User
from finetune_app.audit.services import record_command
from finetune_app.core.audit import AuditAction, target_of

log = logging.getLogger(__name__)

ACTIONS = {
    "create_owner": AuditAction.OWNER_CREATED,
    "reset_password": AuditAction.PASSWORD_RESET,
    "set_up_address": AuditAction.SET_UP_ADDRESS,
    "apikey": AuditAction.KEYS_COMMAND,
    "operator": AuditAction.OPERATOR_CHANGED,
    "backup": AuditAction.BACKED_UP,
    "restore": AuditAction.RESTORED,
    "rotate_secret": AuditAction.SECRET_ROTATED,
    "forget_old_secret": AuditAction.OLD_SECRET_FORGOTTEN,
}


def record(arguments: Sequence[str]) -> None:
    """Add the line of a command that has run, `arguments` being those of the shell."""
    action = ACTIONS.get(arguments[0]) if arguments else None
    if action is None or {"-h", "--help"} & set(arguments):
        return
    addresses = [word.strip().lower() for word in arguments[1:] if "@" in word]
    try:
        named = User.objects.filter(email__in=addresses).first()
        record_command(action, target=target_of(named) if named else None)
    except DatabaseError as error:  # a backup of before there was an audit log was restored
        log.warning("no line of the audit log for %s: %s", arguments[0], error)
