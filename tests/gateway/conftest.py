from tests.deployment_fixtures import separate_rate_limits, url  # noqa: F401
from tests.engine_fixtures import address, client, engine_process, key, live  # noqa: F401
