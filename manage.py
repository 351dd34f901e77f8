#!/usr/bin/env python
"""Finetune from a shell: `manage.py up`, `doctor`, `create_owner`, `backup`, ..."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
