"""Fixtures of the whole suite."""

import os
from pathlib import Path

import pytest

from browsing import FLAGS, NAMES, PROGRAM


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
