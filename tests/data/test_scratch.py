from pathlib import Path

import numpy as np
import pytest

from cigf.data.scratch import RowStore, Scratch


@pytest.mark.parametrize("memory_rows", [0, 4, 100])
def test_blocks_come_back_as_they_were(tmp_path: Path, memory_rows: int) -> None:
    scratch = Scratch(tmp_path, memory_rows)
    stores = [RowStore(scratch) for _ in range(2)]
    blocks = [
        (np.arange(n, dtype=np.uint32), np.arange(n, dtype=np.int64) - 3) for n in (3, 5, 1, 2)
    ]
    for number, block in enumerate(blocks):
        stores[number % 2].append(*block)
    for _ in range(2):  # as often as wanted
        for number, store in enumerate(stores):
            expected = blocks[number::2]
            found = list(store.blocks())
            assert store.n_rows == sum(len(block[0]) for block in expected)
            for block, wanted in zip(found, expected, strict=True):
                assert [column.dtype for column in block] == [np.uint32, np.int64]
                np.testing.assert_array_equal(block, wanted)
            np.testing.assert_array_equal(
                store.whole(), np.concatenate([np.array(block) for block in expected], axis=1)
            )
    assert list(tmp_path.iterdir()) == []  # the file has no name
    scratch.close()


def test_few_rows_need_no_file(tmp_path: Path) -> None:
    store = RowStore(Scratch(tmp_path / "not there", 5))
    store.append(np.arange(5))
    assert len(list(store.blocks())) == 1


def test_all_stores_together_hold_no_more_rows_than_they_may() -> None:
    scratch = Scratch(memory_rows=4)
    assert [scratch.hold(n) for n in (3, 3, 1, 1, 0)] == [True, False, True, False, True]
