# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Helpers for reading the tables of other programs row by row: CSV files, checked numbers."""

import csv
import math
import re
from pathlib import Path

__all__ = ["csv_columns", "csv_rows", "integer", "number"]

# A first line that is longer than this, in bytes, is not a header.
_LONGEST_HEADER = 4096


def csv_columns(path: Path) -> set[str]:
    """Lower-case column names in the first line of any file, text or not."""
    with open(path, "rb") as file:
        start = file.readline(_LONGEST_HEADER)
    return set(start.decode("utf-8-sig", errors="replace").lower().strip().split(","))


def csv_rows(path: Path) -> list[dict]:
    """The rows as dictionaries with lower-case names, and their origin, ``where``."""
    # Programs of Windows put a mark before the text.
    with open(path, encoding="utf-8-sig", newline="") as file:
        return _checked_rows(csv.reader(file))


def number(row: dict, name: str) -> float:
    """The finite number in this column."""
    if name not in row:
        raise ValueError(f"{row['where']} has no column {name}")
    try:
        value = float(row[name])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{row['where']}, column {name}: {row[name]!r} is not a number") from error
    if not math.isfinite(value):
        raise ValueError(f"{row['where']}, column {name}: {value}, expected a finite number")
    return value


def integer(row: dict, name: str) -> int:
    """The integer in this column."""
    value = number(row, name)
    if value != int(value):
        raise ValueError(f"{row['where']}, column {name}: {value}, expected an integer")
    return int(value)


def _checked_rows(reader) -> list[dict]:
    names = [name.strip().lower() for name in next(reader)]
    numbers = [name for name in names if re.fullmatch(r"[-+\d.]+(e[-+]?\d+)?", name)]
    if numbers:
        raise ValueError(
            f"line 1 has numbers, such as {numbers[0]}, expected a header with the column names"
        )
    rows = []
    for fields in filter(None, reader):
        where = f"line {reader.line_num}"
        if len(fields) != len(names):
            raise ValueError(f"{where} has {len(fields)} values, expected {len(names)}")
        rows.append({"where": where, **dict(zip(names, fields, strict=True))})
    if not rows:
        raise ValueError("the file has no orders")
    return rows
