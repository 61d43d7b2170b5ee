"""Fixtures of the whole suite."""

import os
from pathlib import Path

import pytest
import torch

from browsing import FLAGS, NAMES, PROGRAM
from command_line import N_USERS, QUICK, run

if not torch.cuda.is_available():  # read when Triton's kernels are defined, so before any test
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real data sets: CIGF_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CIGF_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {folder}; name their folder in CIGF_DATA")
    return folder


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    if PROGRAM is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)}")
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    try:
        started = playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        yield started
        started.close()
    finally:
        playwright.stop()


# One log, one dataset and one trained run for all who only read them.


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def events(folder):
    sizes = ("--users", N_USERS, "--items", 43, "--interactions", 3001)
    run("data", "generate", *sizes, "--out", folder / "events.csv")
    return folder / "events.csv"


@pytest.fixture(scope="session")
def dataset(folder, events):
    run("data", "prepare", events, "--out", folder / "dataset")
    return folder / "dataset"


@pytest.fixture(scope="session")
def trained(folder, dataset):
    run("train", dataset, "--out", folder / "run", *QUICK)
    return folder / "run"
