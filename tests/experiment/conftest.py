import pytest
from grids import make_dataset


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A prepared dataset; not to be written to."""
    return make_dataset(tmp_path_factory.mktemp("small") / "data")
