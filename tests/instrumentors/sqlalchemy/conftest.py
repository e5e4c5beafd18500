"""Real servers, and each driver as something to execute on."""

from collections.abc import Callable, Iterator

import pytest

from tests.instrumentors.sqlalchemy.databases import DRIVERS, Database
from tests.servers import mariadb, postgresql  # noqa: F401  # fixtures


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Database]]:
    """Make the database of a driver by its name; it is disposed of at the end."""
    made: list[Database] = []

    def make(driver: str, **options: object) -> Database:
        server = DRIVERS[driver].server
        url = request.getfixturevalue(server).url(driver) if server else f"{driver}://"
        made.append(Database(driver, url, **options))
        return made[-1]

    yield make
    for database in made:
        database.dispose()
