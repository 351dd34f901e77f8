"""What a refusal of the hub means, in words that say what to do.

Nothing that the hub wrote is shown: it may be a page of a proxy, or name what should stay secret.
"""

from finetune_app.basemodels.hub_client import status_of
from worker.channel import UserError

OFFLINE = (
    "This installation is told to stay offline (HF_HUB_OFFLINE), so nothing is pushed. Download "
    "the file instead."
)
NO_ANSWER = (
    "The hub does not answer. What is there already is kept: press Continue when the network is "
    "back."
)
NOT_OURS = (
    "{name} exists already, with files that were not pushed from here. Nothing was changed. Choose "
    "another name."
)
IS_PUBLIC = (
    "{name} exists already and is public, and you asked for a private one. Nothing was sent. Make "
    "it private in its settings on the hub, or choose another name."
)
IS_PRIVATE = (
    "{name} exists already and is private, and you asked for a public one. Nothing was sent. Make "
    "it public in its settings on the hub, or push it as private."
)
TAKEN = (
    "{name} exists already, and this token may not see it: it belongs to somebody else. Choose "
    "another name."
)
BAD_TOKEN = (
    "The hub does not accept your team's token any more. An owner saves a new one in step 3; then "
    "press Continue."
)
FORBIDDEN = (
    "Your team's token may not write to {name}. It needs the role “write”, or the right to write "
    "to this account's repositories. An owner saves another one in step 3; then press Continue."
)
GONE = "The hub does not find {name} any more. Was it deleted or renamed there? Press Continue."
MEANWHILE = (
    "Somebody else changed {name} at the same moment. Nothing was overwritten. Look at it on the "
    "hub, then press Continue."
)
TOO_LARGE = (
    "The hub refused it because of its size: perhaps the account's storage is full. Free some "
    "there, then press Continue."
)
BAD_CARD = "The hub does not accept the first lines of the model card, so nothing was changed."
UNREADABLE = (
    "The hub answered something else than expected, so it is not clear what it did. Press Continue "
    "to look again."
)
REFUSED = "The hub refused it with status {status}. Press Continue to try again."
CHANGED = (
    "The file is missing or is not the one that passed its check. Delete this export and make it "
    "again."
)
DIFFERENT = (
    "{name} on the hub is not what was sent. Press Continue to send it again, and do not use what "
    "is there."
)
NO_DISK = "Unpacking it needs {gb:.1f} GB on the disk. Free some space, then press Continue."
BY_STATUS = {
    401: BAD_TOKEN,
    402: TOO_LARGE,
    403: FORBIDDEN,
    404: GONE,
    409: TAKEN,
    412: MEANWHILE,
    413: TOO_LARGE,
}


def explained(error: Exception, repository: str, is_committing: bool) -> UserError:
    """The error that the user sees instead of the client's. `error` is not a busy hub."""
    status = _status(error)
    if isinstance(error, ValueError) and "README.md" in str(error):
        return UserError("remote", BAD_CARD)
    if status is None or 200 <= status < 300:
        return UserError("remote", UNREADABLE)
    words = BY_STATUS.get(status, REFUSED)
    if status == 409 and is_committing:
        words = MEANWHILE
    return UserError("remote", words.format(name=repository, status=status))


def _status(error: BaseException | None) -> int | None:
    """Of the refusal that the error came from."""
    while error is not None:
        if (status := status_of(error)) is not None:
            return status
        error = error.__cause__ or error.__context__
    return None
