from tests.dataset_fixtures import add_examples, dataset, no_worker, url  # noqa: F401
