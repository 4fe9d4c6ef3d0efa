"""numpy and pandas values beyond the usual: what is kept of them, what is refused with its place, and damaged records."""
from __future__ import annotations

import json
import sys
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aionlab.core.errors import InvalidPayload
from aionlab.core.payload import Converter

CODEC = Converter()


def test_a_moment_that_happens_twice_keeps_which_it_was() -> None:
    for hour in (0, 1):
        value = pd.Timestamp(f"2026-10-25 {hour:02}:30", tz="UTC").tz_convert("Europe/Berlin")
        back = CODEC.decode(CODEC.encode(value))
        assert (back, back.fold, str(back.tz), back.unit) == (value, hour, "Europe/Berlin", value.unit)
        assert back.isoformat() == value.isoformat()


def test_a_frame_keeps_its_attributes() -> None:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"source": "shop", "shape": (1, 1)}
    assert CODEC.decode(CODEC.encode(frame)).attrs == frame.attrs
    assert CODEC.decode(CODEC.encode(pd.DataFrame({"a": [1]}))).attrs == {}


def test_what_is_missing_or_infinite_inside_of_columns_comes_back() -> None:
    columns = [
        pd.Series([1.5, float("inf"), None], dtype="Float64"),
        pd.Series([float("nan"), float("-inf"), 1, None, pd.NaT, pd.NA, np.float64("nan")], dtype=object),
        pd.Series(["a", None], dtype="str"),
        pd.Series([True, None], dtype="boolean"),
        pd.Series([2**64 - 1, None], dtype="UInt64"),
    ]
    for column in columns:
        back = CODEC.decode(CODEC.encode(column))
        pd.testing.assert_series_equal(back, column)
        assert back.dtype == column.dtype


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros(2, np.dtype([("a", "i1"), ("b", "i8")], align=True)), "repack_fields packs it"),
        (np.zeros(2, np.dtype([("a", "i4", (3,))])), "repack_fields packs it"),
        (np.zeros(1, np.dtype([("\ud800", "i4")])), "surrogates"),
        (np.zeros(1, np.dtype([("a", "i4")]))[0], "cannot be recorded; record value.item()"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "cannot be recorded; record array.tolist()"),
        (np.float32("inf"), "not a number JSON has; use None"),
        (pd.DataFrame({"ok": [1], "bad": pd.period_range("2026-01", periods=1, freq="M")}), "value['bad']: a column of dtype period[M]"),
        (pd.DataFrame({"bad": pd.Series([1, object()], dtype=object)}), "value['bad'][1]: object cannot be recorded"),
        (pd.Series([["\ud800"]]), "value[0][0]: '\\ud800' has a lone surrogate"),
        (pd.Series(["\ud800"], dtype=pd.StringDtype("python")), "lone surrogate at 0"),
        (pd.Series(["\ud800"], dtype=pd.StringDtype("python", na_value=np.nan)), "lone surrogate at 0"),
    ],
    ids=range(11),
)
def test_what_cannot_be_recorded_says_where_and_what_to_do(value: Any, words: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        CODEC.encode(value)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"~": "ndarray", "dtype": 3, "shape": [1], "v": ""}, "3 is not a dtype"),
        ({"~": "ndarray", "dtype": "i" * 41, "shape": [1], "v": ""}, "is not a dtype"),
        ({"~": "ndarray", "dtype": "(3,)i4", "shape": [1], "v": ""}, "is not a dtype of plain values"),
        ({"~": "ndarray", "dtype": "i4,i4", "shape": [1], "v": ""}, "is not a dtype of plain values"),
        ({"~": "numpy", "dtype": "<f8", "v": None}, "not a numpy scalar"),
        ({"~": "timestamp", "v": 1, "unit": "fortnight"}, "'fortnight' is not a unit of time"),
        ({"~": "pandas.timedelta", "v": 1, "unit": "Y"}, "'Y' is not a unit of time"),
        ({"~": "missing", "v": "read_csv"}, "'read_csv' is not a missing value"),
        ({"~": "series", "v": {"dtype": "sparse"}, "index": {"kind": "range", "v": [0], "names": [None]}, "name": None}, "a column of kind 'sparse'"),
    ],
    ids=range(9),
)
def test_damaged_records_are_told_apart(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        CODEC.decode(json.dumps(change).encode())
    assert words in str(refused.value)


def test_a_library_that_is_still_being_imported_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    array, frame = np.array([1, 2]), pd.DataFrame({"a": [1]})
    expected = CODEC.encode(array)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pandas", types.ModuleType("pandas"))
        assert CODEC.encode(array) == expected
        with pytest.raises(InvalidPayload, match="DataFrame cannot be recorded"):
            CODEC.encode(frame)
        patch.setitem(sys.modules, "numpy", types.ModuleType("numpy"))
        with pytest.raises(InvalidPayload, match="ndarray cannot be recorded"):
            CODEC.encode(array)
