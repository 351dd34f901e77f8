from tests.deployment_fixtures import live, separate_rate_limits, tuned, url  # noqa: F401
