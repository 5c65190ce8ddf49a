# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Describe an image by a few numbers."""

import numpy as np
from astropy.table import Table

__all__ = ["PERCENTILES", "middle_lines", "pixel_statistics"]

#: Percentiles of the finite pixels of an image.
PERCENTILES = (0, 0.1, 1, 5, 25, 50, 75, 95, 99, 99.9, 100)


def pixel_statistics(image: np.ndarray) -> dict[str, float]:
    """
    Compute numbers that describe an image.

    Parameters
    ----------
    image : array
        Image of any shape.

    Returns
    -------
    dict
        Number of ``pixels``; ``not_finite``, ``zero``, ``least`` and ``greatest``, the numbers of
        pixels with such a value (many at the greatest value are saturated); and ``mean``,
        ``deviation`` and the percentiles ``p0`` to ``p100`` of the finite pixels. Without finite
        pixels, only the first two.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.recipe.report.pixels import pixel_statistics
    >>> found = pixel_statistics(np.array([[0.0, 1.0, 3.0], [3.0, 3.0, np.nan]]))
    >>> found["not_finite"], found["greatest"], found["mean"], found["p50"]
    (1, 3, 2.0, 3.0)
    """
    values = image[np.isfinite(image)]
    numbers = {"pixels": image.size, "not_finite": image.size - values.size}
    if values.size == 0:
        return numbers
    marks = np.percentile(values, PERCENTILES).tolist()
    counted = {"zero": 0, "least": marks[0], "greatest": marks[-1]}
    return numbers | {
        **{name: int(np.count_nonzero(values == value)) for name, value in counted.items()},
        "mean": float(values.mean(dtype=float)),
        "deviation": float(values.std(dtype=float)),
        **{f"p{percent}": mark for percent, mark in zip(PERCENTILES, marks, strict=True)},
    }


def middle_lines(image: np.ndarray) -> Table:
    """
    Return the row and the column through the middle of an image.

    Parameters
    ----------
    image : array, shape (rows, columns)
        The image.

    Returns
    -------
    `~astropy.table.Table`
        Columns ``line`` ("row" or "column"), ``index`` (of the row or column), ``pixel`` and
        ``value``.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle.recipe.report.pixels import middle_lines
    >>> print(middle_lines(np.array([[1, 2, 3], [4, 5, 6]])))
     line  index pixel value
    ------ ----- ----- -----
       row     1     0     4
       row     1     1     5
       row     1     2     6
    column     1     0     2
    column     1     1     5
    """
    middle = [size // 2 for size in image.shape]
    lines = {"row": image[middle[0]], "column": image[:, middle[1]]}
    sizes = [len(values) for values in lines.values()]
    return Table({
        "line": np.repeat(list(lines), sizes),
        "index": np.repeat(middle, sizes),
        "pixel": np.concatenate([np.arange(size) for size in sizes]),
        "value": np.concatenate(list(lines.values())),
    })
