# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What every order table must be: a detector shape and a dispersion axis that make sense."""

__all__ = ["checked_axis", "checked_shape"]


def checked_shape(shape) -> tuple[int, int] | None:
    if shape is None:
        return None
    shape = tuple(shape)
    if len(shape) != 2 or any(int(n) != n or n < 1 for n in shape):
        raise ValueError(f"shape is {shape}, expected two positive integers (rows, columns)")
    return int(shape[0]), int(shape[1])


def checked_axis(axis) -> int:
    if isinstance(axis, bool) or axis not in (0, 1):
        raise ValueError(
            f"dispersion_axis is {axis!r}, expected 1 (orders along rows) or 0 (along columns)"
        )
    return int(axis)
