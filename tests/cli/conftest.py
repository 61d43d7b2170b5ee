import pytest
from command_line import N_USERS, QUICK, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def events(folder):
    sizes = ("--users", N_USERS, "--items", 43, "--interactions", 3001)
    run("data", "generate", *sizes, "--out", folder / "events.csv")
    return folder / "events.csv"


@pytest.fixture(scope="module")
def dataset(folder, events):
    run("data", "prepare", events, "--out", folder / "dataset")
    return folder / "dataset"


@pytest.fixture(scope="module")
def trained(folder, dataset):
    run("train", dataset, "--out", folder / "run", *QUICK)
    return folder / "run"
