"""numpy and pandas values as plain trees and back; neither library is ever imported here, only found when it is loaded.

Numbers travel as their exact bytes (little-endian, C order, base64), text and objects as lists, so a frame reads back the same with
or without pyarrow. Trees of values inside (`object` columns, labels) are made and read by the functions passed in.
"""
from __future__ import annotations

import base64
import math
import sys
from collections.abc import Callable
from typing import Any

from .classes import Mismatch, spelled

Write = Callable[[Any], Any]
Read = Callable[[Any], Any]


class NotLoaded(LookupError):
    """The library the record needs is not loaded."""


def _library(name: str) -> Any:
    module = sys.modules.get(name)
    if module is None:
        raise NotLoaded(name)
    return module


def write(value: Any, inner: Write) -> dict[str, Any] | None:
    """The tagged tree of a numpy or pandas value, None when it is neither. Raises Mismatch for kinds that cannot be recorded."""
    np, pd = sys.modules.get("numpy"), sys.modules.get("pandas")
    if pd is not None and hasattr(pd, "DataFrame"):
        if value is pd.NaT or value is pd.NA:
            return {"~": "missing", "v": "NaT" if value is pd.NaT else "NA"}
        if type(value) is pd.DataFrame:
            return {"~": "frame", "v": _write_frame(value, inner)}
        if type(value) is pd.Series:
            return {"~": "series", "v": _write_column(value.array, inner), "index": _write_index(value.index, inner), "name": inner(value.name)}
        if isinstance(value, pd.Index):
            return {"~": "index", "v": _write_index(value, inner)}
        if type(value) is pd.Timestamp:
            tree = {"~": "timestamp", "v": int(value.asm8.astype("i8")), "unit": value.unit}
            if value.tz is not None:
                tree["zone"] = inner(value.tz)
                if value.fold:
                    tree["fold"] = 1
            return tree
        if type(value) is pd.Timedelta:
            return {"~": "pandas.timedelta", "v": int(value.asm8.astype("i8")), "unit": value.unit}
    if np is not None and hasattr(np, "ndarray"):
        if type(value) is np.ndarray:
            return {"~": "ndarray", **_write_array(value)}
        if isinstance(value, np.generic) and type(value).__module__ == "numpy":
            return _write_scalar(value)
    return None


# --- numpy -----------------------------------------------------------------------------------------------------------


def _write_array(array: Any) -> dict[str, Any]:
    if array.dtype.hasobject or array.dtype.kind == "T":
        raise Mismatch(f"an array of dtype {array.dtype} cannot be recorded; record array.tolist(), or give it a dtype of fixed size")
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.astype(array.dtype.newbyteorder("<"))
    return {"dtype": _dtype_tree(array.dtype), "shape": list(array.shape), "v": _text(array.tobytes())}


def _dtype_tree(dtype: Any) -> Any:
    if dtype.subdtype is not None:
        raise Mismatch(f"an array of dtype {dtype} cannot be recorded")
    if dtype.fields is None:
        return dtype.str.replace("=", "<")
    if dtype.itemsize != sum(dtype.fields[n][0].itemsize for n in dtype.names) or any(dtype.fields[n][0].subdtype for n in dtype.names):
        raise Mismatch(f"an array of dtype {dtype} cannot be recorded; numpy.lib.recfunctions.repack_fields packs it")
    return [[name, _dtype_tree(dtype.fields[name][0])] for name in dtype.names]


def _dtype(tree: Any) -> Any:
    np = _library("numpy")
    if isinstance(tree, list):
        return np.dtype([(name, _dtype(sub)) for name, sub in tree])
    if not isinstance(tree, str) or len(tree) > 40:
        raise Mismatch(f"{tree!r} is not a dtype")
    dtype = np.dtype(tree)
    if dtype.hasobject or dtype.fields is not None or dtype.subdtype is not None:
        raise Mismatch(f"{tree!r} is not a dtype of plain values")
    return dtype


def read_array(tree: dict[str, Any], read: Read) -> Any:
    np = _library("numpy")
    return np.frombuffer(bytearray(base64.b64decode(tree["v"], validate=True)), _dtype(tree["dtype"])).reshape(tuple(tree["shape"]))


def _write_scalar(value: Any) -> dict[str, Any]:
    kind, dtype = value.dtype.kind, value.dtype
    if kind in "biuU" or (kind == "f" and dtype.itemsize <= 8):
        plain = value.item()
        if kind == "f" and not math.isfinite(plain):
            raise Mismatch(f"{value} is not a number JSON has; use None")
        return {"~": "numpy", "dtype": dtype.str, "v": plain}
    if kind in "OVT":
        raise Mismatch(f"a {spelled(type(value))} cannot be recorded; record value.item()")
    return {"~": "numpy", "dtype": dtype.str, "b": _text(value.tobytes())}


def read_scalar(tree: dict[str, Any], read: Read) -> Any:
    dtype = _dtype(tree["dtype"])
    if "b" in tree:
        return _library("numpy").frombuffer(base64.b64decode(tree["b"], validate=True), dtype)[0]
    if type(tree["v"]) not in (bool, int, float, str):
        raise Mismatch("not a numpy scalar")
    return dtype.type(tree["v"])


# --- pandas ----------------------------------------------------------------------------------------------------------


def _write_frame(frame: Any, inner: Write) -> dict[str, Any]:
    data = []
    for at in range(frame.shape[1]):
        try:
            data.append(_write_column(frame.iloc[:, at].array, inner))
        except Mismatch as mismatch:
            mismatch.parts.append(f"[{frame.columns[at]!r}]")
            raise
    tree = {"columns": _write_index(frame.columns, inner), "index": _write_index(frame.index, inner), "data": data}
    if frame.attrs:
        tree["attrs"] = inner(frame.attrs)
    return tree


def _write_column(array: Any, inner: Write) -> dict[str, Any]:
    np, pd = _library("numpy"), _library("pandas")
    if type(array.dtype).__name__ == "NumpyEADtype":
        array = array.to_numpy()
    dtype = array.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind == "O":
            return {"dtype": "object", "v": [_write_cell(item, inner, pd, at) for at, item in enumerate(array)]}
        return {"dtype": "numpy", "v": _write_array(np.asarray(array))}
    if isinstance(dtype, pd.DatetimeTZDtype):
        zone = inner(dtype.tz)
        return {"dtype": "datetime", "zone": zone, "v": _write_array(np.asarray(array.tz_convert("UTC").tz_localize(None)))}
    if isinstance(dtype, pd.CategoricalDtype):
        categories = _write_index(array.categories, inner)
        return {"dtype": "category", "categories": categories, "ordered": bool(dtype.ordered), "v": _write_array(array.codes)}
    if isinstance(dtype, pd.StringDtype) or str(dtype) in _NULLABLE:
        missing = array.isna()
        values = [None if missing[at] else _plain(item) for at, item in enumerate(array)]
        return {"dtype": _dtype_name(dtype), "v": values}
    raise Mismatch(f"a column of dtype {dtype} cannot be recorded; convert it with .astype(…) first")


_NULLABLE = {f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)} | {"Float32", "Float64", "boolean"}
_STRINGS = {"str", "string"}


def _dtype_name(dtype: Any) -> str:
    name = str(dtype)
    return "string" if name.startswith("string") else name


def _plain(item: Any) -> Any:
    item = item.item() if hasattr(item, "item") else item
    if type(item) is float and not math.isfinite(item):
        return {"~": "missing", "v": str(item)}
    if type(item) is str:
        _check_text(item)
    return item


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Mismatch(f"text with a lone surrogate at {error.start} cannot be recorded") from None


def _write_cell(item: Any, inner: Write, pd: Any, at: int) -> Any:
    if isinstance(item, float) and not math.isfinite(item):
        return {"~": "missing", "v": str(float(item))}
    try:
        return inner(item)
    except Mismatch as mismatch:
        mismatch.parts.append(f"[{at}]")
        raise


def read_missing(tree: dict[str, Any], read: Read) -> Any:
    name = tree["v"]
    if name in ("nan", "inf", "-inf"):
        return float(name)
    if name not in ("NaT", "NA"):
        raise Mismatch(f"{name!r} is not a missing value")
    return getattr(_library("pandas"), name)


def _write_index(index: Any, inner: Write) -> dict[str, Any]:
    pd = _library("pandas")
    if type(index) is pd.RangeIndex:
        return {"kind": "range", "v": [index.start, index.stop, index.step], "names": [inner(index.name)]}
    if type(index) is pd.MultiIndex:
        levels = [_write_index(level, inner) for level in index.levels]
        return {
            "kind": "multi",
            "levels": levels,
            "v": [[int(code) for code in codes] for codes in index.codes],
            "names": [inner(name) for name in index.names],
        }
    tree = {"kind": "plain", "v": _write_column(index.array, inner), "names": [inner(index.name)]}
    frequency = getattr(index, "freqstr", None)
    if frequency is not None and type(index).__name__ in ("DatetimeIndex", "TimedeltaIndex"):
        tree["freq"] = frequency
    return tree


def read_frame(tree: dict[str, Any], read: Read) -> Any:
    pd = _library("pandas")
    body = tree["v"]
    index = _read_index(body["index"], read)
    frame = pd.DataFrame({at: pd.Series(_read_column(column, read), index=index) for at, column in enumerate(body["data"])}, index=index)
    frame.columns = _read_index(body["columns"], read)
    if "attrs" in body:
        frame.attrs = read(body["attrs"])
    return frame


def read_series(tree: dict[str, Any], read: Read) -> Any:
    return _library("pandas").Series(_read_column(tree["v"], read), index=_read_index(tree["index"], read), name=read(tree["name"]))


def read_index(tree: dict[str, Any], read: Read) -> Any:
    return _read_index(tree["v"], read)


def _read_column(tree: dict[str, Any], read: Read) -> Any:
    np, pd = _library("numpy"), _library("pandas")
    kind = tree["dtype"]
    if kind == "object":
        items = np.empty(len(tree["v"]), dtype=object)
        for at, item in enumerate(tree["v"]):
            items[at] = read(item)
        return items
    if kind == "numpy":
        return read_array(tree["v"], read)
    if kind == "datetime":
        return pd.DatetimeIndex(read_array(tree["v"], read)).tz_localize("UTC").tz_convert(read(tree["zone"])).array
    if kind == "category":
        categories = _read_index(tree["categories"], read)
        return pd.Categorical.from_codes(read_array(tree["v"], read), categories=categories, ordered=bool(tree["ordered"]))
    if kind in _STRINGS or kind in _NULLABLE:
        return pd.array([read(item) for item in tree["v"]], dtype=kind)
    raise Mismatch(f"a column of kind {kind!r} is not known")


def _read_index(tree: dict[str, Any], read: Read) -> Any:
    pd = _library("pandas")
    names = [read(name) for name in tree["names"]]
    if tree["kind"] == "range":
        return pd.RangeIndex(*tree["v"], name=names[0])
    if tree["kind"] == "multi":
        return pd.MultiIndex(levels=[_read_index(level, read) for level in tree["levels"]], codes=tree["v"], names=names)
    index = pd.Index(_read_column(tree["v"], read), name=names[0], dtype=object if tree["v"]["dtype"] == "object" else None)
    if "freq" in tree:
        index = type(index)(index, freq=tree["freq"])
    return index


def read_timestamp(tree: dict[str, Any], read: Read) -> Any:
    np, pd = _library("numpy"), _library("pandas")
    if tree["unit"] not in ("s", "ms", "us", "ns"):
        raise Mismatch(f"{tree['unit']!r} is not a unit of time")
    stamp = pd.Timestamp(np.datetime64(tree["v"], tree["unit"]))
    if "zone" in tree:
        stamp = stamp.tz_localize("UTC").tz_convert(read(tree["zone"]))
        if tree.get("fold"):
            stamp = stamp.replace(fold=1)
    return stamp


def read_timedelta(tree: dict[str, Any], read: Read) -> Any:
    np, pd = _library("numpy"), _library("pandas")
    if tree["unit"] not in ("s", "ms", "us", "ns"):
        raise Mismatch(f"{tree['unit']!r} is not a unit of time")
    return pd.Timedelta(np.timedelta64(tree["v"], tree["unit"]))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
