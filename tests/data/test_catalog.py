"""Every entry of the catalog is complete enough to be fetched."""

import re

import pytest

from cigf.data.catalog import CATALOG, find_published
from cigf.data.imports import FORMATS
from cigf.errors import DataError


@pytest.mark.parametrize("entry", CATALOG.values(), ids=lambda entry: entry.name)
def test_entry_is_complete(entry):
    assert CATALOG[entry.name] is entry
    assert entry.page.startswith("https://")
    assert "research" in entry.terms
    assert entry.behaviors[-1] == "buy"
    assert bool(entry.files) != bool(entry.by_hand)
    assert entry.layout in {*FORMATS, "taobao", "ijcai15"}


@pytest.mark.parametrize("name", ["beibei", "tmall"])
def test_a_release_has_a_file_per_behavior_and_the_held_out_items(name):
    entry = find_published(name)
    names = {file.name for file in entry.files}
    assert names == {*(f"trn_{behavior}" for behavior in entry.behaviors), "tst_int"}
    for file in entry.files:
        assert file.url.startswith("https://")
        assert file.url.endswith("/" + file.name)
        assert file.checksum is None or re.fullmatch("git:[0-9a-f]{40}", file.checksum)


def test_unknown_name():
    with pytest.raises(DataError, match=r"'beibai' is not in the catalog; did you mean beibei\?"):
        find_published("beibai")
