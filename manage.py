#!/usr/bin/env python
"""Finetune from a shell: `manage.py up`, `doctor`, `create_owner`, `backup`, ..."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as mistake:  # of settings.py: its message says what to change
        sys.exit(str(mistake))
    except OperationalError:
        from finetune_app.core.connections import why_no_database

        if why := why_no_database():
            sys.exit(why)
        raise
    if sys.argv[1:2] != ["up"]:
        _leave_audit_line()


def _leave_audit_line() -> None:
    from django.apps import apps

    if apps.ready:
        from finetune_app.audit.commands import record

        record(sys.argv[1:])


if __name__ == "__main__":
    main()
