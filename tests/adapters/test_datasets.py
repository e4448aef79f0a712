"""The store of what tasks hand to each other."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from safetensors.numpy import load_file

from gnn_trainer.adapters.datasets import DatasetStore, fingerprint, tables_fingerprint
from gnn_trainer.errors import DataError


@dataclass(frozen=True)
class Inner:
    name: str
    share: float


@dataclass(frozen=True)
class Sample:
    symbols: tuple[str, ...]
    interval_ms: int
    parts: tuple[Inner, ...]
    by_name: dict[str, Inner]
    x_TN: npt.NDArray[np.float32]
    mask_TN: npt.NDArray[np.bool_]


def make_sample(value: float = 1.5) -> Sample:
    x_TN = np.full((3, 2), value, np.float32)
    x_TN[1, 1] = np.nan
    inner = Inner("a", float("nan"))
    return Sample(("BTCUSDT", "龙USDT"), 60_000, (inner,), {"a": inner}, x_TN.T.T, ~np.isnan(x_TN))


def test_a_dataset_comes_back_as_it_was_put(tmp_path: Path) -> None:
    store, sample = DatasetStore(tmp_path), make_sample()

    back = store.get(store.put(sample, rows=3), Sample)

    assert back.symbols == sample.symbols
    assert back.interval_ms == sample.interval_ms
    assert back.by_name.keys() == {"a"}
    assert isinstance(back.parts[0], Inner)
    assert np.isnan(back.parts[0].share)
    np.testing.assert_array_equal(back.x_TN, sample.x_TN)
    np.testing.assert_array_equal(back.mask_TN, sample.mask_TN)
    assert back.x_TN.dtype == np.float32


def test_a_fingerprint_is_known_before_anything_is_put(tmp_path: Path) -> None:
    sample = make_sample()

    assert fingerprint(sample) == DatasetStore(tmp_path).put(sample, rows=3).fingerprint
    assert fingerprint(sample) != fingerprint(make_sample(2.5))


def test_writing_to_what_was_read_changes_nothing_stored(tmp_path: Path) -> None:
    store, sample = DatasetStore(tmp_path), make_sample()
    ref = store.put(sample, rows=3)

    store.get(ref, Sample).x_TN[...] = 7.0

    np.testing.assert_array_equal(store.get(ref, Sample).x_TN, sample.x_TN)


def test_a_dataset_is_a_safetensors_file(tmp_path: Path) -> None:
    store, sample = DatasetStore(tmp_path), make_sample()

    tensors = load_file(tmp_path / store.put(sample, rows=3).uri)

    assert tensors.keys() == {"x_TN", "mask_TN"}
    np.testing.assert_array_equal(tensors["x_TN"], sample.x_TN)
    np.testing.assert_array_equal(tensors["mask_TN"], sample.mask_TN)


def test_an_array_of_nothing_comes_back(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    empty = Sample(**{**vars(make_sample()), "x_TN": np.empty((0, 2), np.float32)})

    assert store.get(store.put(empty, rows=0), Sample).x_TN.shape == (0, 2)


def test_equal_content_has_one_reference_and_other_content_another(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)

    assert store.put(make_sample(), rows=3) == store.put(make_sample(), rows=3)
    assert store.put(make_sample(2.0), rows=3) != store.put(make_sample(), rows=3)


def test_an_array_that_is_not_contiguous_is_stored_by_value(tmp_path: Path) -> None:
    store, sample = DatasetStore(tmp_path), make_sample()
    turned = Sample(**{**vars(sample), "x_TN": np.asfortranarray(sample.x_TN)})

    assert store.put(turned, rows=3) == store.put(sample, rows=3)


def test_bytes_come_back_as_they_were_put(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)

    assert store.get_bytes(store.put_bytes("weights", b"\x00\xff")) == b"\x00\xff"


@pytest.mark.parametrize("damage", [b"", b"something else"])
def test_an_altered_dataset_is_not_held_and_not_read(tmp_path: Path, damage: bytes) -> None:
    store = DatasetStore(tmp_path)
    ref = store.put(make_sample(), rows=3)
    (tmp_path / ref.uri).write_bytes(damage)

    assert not store.holds(ref)
    with pytest.raises(DataError, match="gone or altered"):
        store.get(ref, Sample)


def test_a_removed_dataset_is_not_held(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    ref = store.put(make_sample(), rows=3)
    assert store.holds(ref)

    (tmp_path / ref.uri).unlink()

    assert not store.holds(ref)


def test_an_altered_dataset_is_stored_again(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    ref = store.put(make_sample(), rows=3)
    (tmp_path / ref.uri).write_bytes(b"something else")

    store.put(make_sample(), rows=3)

    assert store.holds(ref)


def test_the_datasets_used_last_are_kept(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    refs = [store.put(make_sample(value), rows=3) for value in (1.0, 2.0, 3.0)]
    for age, ref in enumerate(refs):
        os.utime(tmp_path / ref.uri, (1000 + age, 1000 + age))
    store.get(refs[0], Sample)  # used now, so it is the youngest

    store.forget_old(keep=2)

    assert [store.holds(ref) for ref in refs] == [True, False, True]


def test_the_fingerprint_of_tables_sees_values_and_names_but_not_chunks() -> None:
    table = pl.DataFrame({"time": [1, 2, 3], "bids": [[1.0], [2.0, 3.0], None]})
    chunked = pl.concat([table[:1], table[1:]], rechunk=False)
    plain = tables_fingerprint({"BTCUSDT": table})

    assert tables_fingerprint({"BTCUSDT": chunked}) == plain
    assert tables_fingerprint({"ETHUSDT": table}) != plain
    assert tables_fingerprint({"BTCUSDT": table[:2]}) != plain
    assert tables_fingerprint({"BTCUSDT": table.rename({"time": "t"})}) != plain
    assert tables_fingerprint({"BTCUSDT": table.with_columns(time=pl.col("time") + 1)}) != plain
