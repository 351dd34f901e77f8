"""PostgreSQL's statistics after very many rows were written."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from finetune_app.datasets.services.locking import vacuum_after_commit


@pytest.mark.django_db(transaction=True)
def test_examples_are_vacuumed_once_the_transaction_has_ended():
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL needs it")
    with CaptureQueriesContext(connection) as inside, transaction.atomic():
        vacuum_after_commit()
    sql = [query["sql"] for query in inside.captured_queries]
    assert sql[-1].startswith("VACUUM ANALYZE datasets_example")
    assert "COMMIT" in sql[:-1]
