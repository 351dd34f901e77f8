"""Operators: the oldest account was made with the code that the machine printed, so it is one."""

from django.db import migrations, models


def make_the_first_an_operator(apps, schema_editor):
    users = apps.get_model("accounts", "User").objects
    first = users.order_by("date_joined", "pk").first()
    if first:
        users.filter(pk=first.pk).update(is_staff=True)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [
        migrations.AddField("user", "is_staff", models.BooleanField(default=False)),
        migrations.RunPython(make_the_first_an_operator, migrations.RunPython.noop),
    ]
