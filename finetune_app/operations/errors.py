class OperationError(Exception):
    """The message says what happened and what to do."""


class BackupError(OperationError):
    """Of a backup, a restore or a roll back."""


class InstallationInUse(OperationError):
    """Something uses what an operation needs alone; the message names it."""
