"""manage.py forget_old_secret NAME ...: ends what an older secret still opens."""

from finetune_app.operations import secret_rotation
from finetune_app.operations.management.commands import rotate_secret


class Command(rotate_secret.Command):
    help = "Accept only the newest secrets. Stop Finetune first. See docs/secrets.md."
    change = staticmethod(secret_rotation.forget_old)
    names = list(secret_rotation.FORGETTING)
