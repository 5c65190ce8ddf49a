# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the orders lie: polynomial order centres and edges on the detector."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike

from ccdproc_echelle.orders import building, transforms
from ccdproc_echelle.orders.checks import check_columns, check_orders, checked_axis, checked_shape
from ccdproc_echelle.orders.columns import coefficients_of, range_of
from ccdproc_echelle.orders.curves import evaluate
from ccdproc_echelle.orders.detector import OrdersOnDetector
from ccdproc_echelle.orders.registry import read_orders, write_orders
from ccdproc_echelle.orders.specreduce import specreduce_traces

__all__ = ["EchelleOrderTable", "checked_orders"]


class EchelleOrderTable(OrdersOnDetector):
    """
    The order centres, and where known the order edges, of an echelle spectrograph.

    Each order has one row: its order number, the range of dispersion pixels in which it is
    valid, and Chebyshev coefficients that give the cross-dispersion position of the order centre
    (and of the lower and upper edge) as a function of the dispersion pixel. The Chebyshev
    variable runs from -1 to 1 over the valid range of the row, which keeps fits well conditioned
    however high the degree.

    Pixel centres are 0-based integers; pixel ``p`` covers ``p - 0.5`` to ``p + 0.5``. The table is
    immutable: methods return new tables.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Columns ``order`` (integer, unique, not 0), ``pixel_min`` and ``pixel_max`` (valid range,
        pixel), ``center`` (Chebyshev coefficients, pixel, shape ``(n_orders, degree + 1)``) and
        optionally ``lower`` and ``upper`` (likewise), ``center_rms``, ``lower_rms``, ``upper_rms``
        (fit residuals, pixel), ``lower_measured_min``, ``lower_measured_max`` and likewise for
        ``upper`` (first and last dispersion pixel at which the edge was measured, NaN if nowhere)
        and any other. ``table.meta`` holds ``shape`` (rows, columns of the
        detector; `None` if unknown) and ``dispersion_axis`` (NumPy axis along which the orders
        run: 1 along image rows, 0 along columns).

    Raises
    ------
    ValueError
        If a column is missing, an order number is repeated or 0, a coefficient or range is not
        finite, a range is empty, or an upper edge is not above its lower edge.

    Examples
    --------
    >>> from ccdproc_echelle import EchelleOrderTable
    >>> orders = EchelleOrderTable.from_polynomials(
    ...     [10, 11], [[20, 0.1], [60, 0.1]], shape=(100, 120), dispersion_axis=1)
    >>> orders
    <EchelleOrderTable: 2 orders (10 to 11), shape (100, 120), dispersion_axis 1, no edges>
    >>> orders.center([0, 100])
    array([[20., 30.],
           [60., 70.]])
    """

    def __init__(self, table: QTable):
        table = table.copy()
        check_columns(table)
        table.meta["shape"] = checked_shape(table.meta.get("shape"))
        table.meta["dispersion_axis"] = checked_axis(table.meta.get("dispersion_axis"))
        check_orders(table)
        self._table = table
        self._source: Path | None = None
        super().__init__()

    # ------------------------------------------------------------------ construction

    @classmethod
    def from_polynomials(
        cls,
        order_numbers: ArrayLike,
        coefficients: ArrayLike,
        *,
        shape: tuple[int, int] | None,
        dispersion_axis: int,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        pixel_range: ArrayLike | None = None,
    ) -> "EchelleOrderTable":
        """
        Order table from plain polynomials of the dispersion pixel.

        Parameters
        ----------
        order_numbers : array of int, shape (n_orders,)
            Order numbers.
        coefficients : array, shape (n_orders, degree + 1)
            Coefficients of the order centres in powers of the 0-based dispersion pixel, lowest
            power first, in pixel.
        shape : tuple of int or None
            Rows and columns of the detector; `None` if unknown.
        dispersion_axis : int
            1 when orders run along image rows, 0 when along columns.
        lower, upper : array, shape (n_orders, degree + 1), optional
            Coefficients of the order edges.
        pixel_range : array, shape (2,) or (n_orders, 2), optional
            First and last dispersion pixel of each order, inclusive. Default: the whole detector.

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        ValueError
            If numbers and coefficients do not match in length, neither ``shape`` nor
            ``pixel_range`` is given, or as for `EchelleOrderTable`.

        Examples
        --------
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> orders = EchelleOrderTable.from_polynomials(
        ...     [11, 12], [[20, 0.01], [50, 0.02]], shape=(80, 200), dispersion_axis=1)
        >>> print(orders.center([0, 100]))
        [[20. 21.]
         [50. 52.]]
        """
        return cls(building.table_from_polynomials(
            order_numbers, coefficients, lower, upper, pixel_range, shape, dispersion_axis
        ))

    @classmethod
    def from_traces(
        cls,
        order_numbers: ArrayLike,
        centers: ArrayLike,
        *,
        shape: tuple[int, int] | None,
        dispersion_axis: int,
        degree: int = 4,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
    ) -> "EchelleOrderTable":
        """
        Order table from positions sampled at every dispersion pixel.

        Parameters
        ----------
        order_numbers : array of int, shape (n_orders,)
            Order numbers.
        centers : array, shape (n_orders, n_pixels)
            Cross-dispersion position of each order centre at each dispersion pixel; NaN (or
            masked) where the order was not traced. The valid range of an order goes from its
            first to its last finite position.
        shape : tuple of int or None
            Rows and columns of the detector; `None` if unknown.
        dispersion_axis : int
            1 when orders run along image rows, 0 when along columns.
        degree : int, optional
            Degree of the Chebyshev series fitted to each trace by least squares.
        lower, upper : array, shape (n_orders, n_pixels), optional
            Positions of the order edges.

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        ValueError
            If the shapes disagree, or an order has fewer than ``degree + 1`` finite positions.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            Names the orders that a series of this degree misses by more than half a pixel, not
            here and there but over a stretch.

        Examples
        --------
        An order that was traced on the first half of the detector:

        >>> import numpy as np
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> pixels = np.arange(200)
        >>> trace = np.where(pixels < 100, 20 + 0.01 * pixels, np.nan)
        >>> orders = EchelleOrderTable.from_traces(
        ...     [11], [trace], shape=(80, 200), dispersion_axis=1, degree=2)
        >>> print(orders.center([50, 150]))
        [[20.5  nan]]
        """
        table = building.table_from_traces(
            order_numbers, centers, lower, upper, degree, shape, dispersion_axis
        )
        orders = cls(table)
        traces = {"center": centers, "lower": lower, "upper": upper}
        building.warn_of_low_degree(table, {n: t for n, t in traces.items() if t is not None})
        return orders

    def with_edges(
        self, lower: ArrayLike, upper: ArrayLike, *, degree: int = 4
    ) -> "EchelleOrderTable":
        """
        The same order centres with edges fitted to sampled positions.

        Parameters
        ----------
        lower, upper : array, shape (n_orders, n_pixels)
            Edge positions at every dispersion pixel; positions that are NaN or outside the valid
            range of the order are not used.
        degree : int, optional
            Degree of the Chebyshev series fitted to each edge by least squares.

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        ValueError
            If the shapes disagree, or an order has fewer than ``degree + 1`` usable positions.
        """
        valid = np.isfinite(self.center())
        edges = {"lower": lower, "upper": upper}
        return type(self)(building.fitted_edges(self.table, valid, edges, degree))

    # ------------------------------------------------------------------ input and output

    @classmethod
    def read(
        cls,
        path: str | os.PathLike,
        *,
        format: str | None = None,
        shape: tuple[int, int] | None = None,
        dispersion_axis: int | None = None,
        detector: str | None = None,
    ) -> "EchelleOrderTable":
        """
        Read an order table from a file.

        Parameters
        ----------
        path : path-like
            The file.
        format : str, optional
            One of the formats in `ccdproc_echelle.orders.formats`; found from the content of the
            file when not given.
        shape : tuple of int, optional
            Rows and columns of the detector, for formats that do not carry them. If the file
            carries another shape, that is an error.
        dispersion_axis : int, optional
            1 when orders run along image rows, 0 when along columns, for formats that do not
            carry it.
        detector : str, optional
            Which detector's orders, for files that hold those of several (cr2res, KPF).

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the format is unknown, the content is malformed, or it contradicts ``shape`` or
            ``dispersion_axis``.
        """
        orders = read_orders(
            path, format=format, shape=shape, dispersion_axis=dispersion_axis, detector=detector
        )
        orders._source = Path(path)
        return orders

    def write(
        self, path: str | os.PathLike, *, format: str | None = None, overwrite: bool = False
    ) -> None:
        """
        Write the order table to a file.

        Parameters
        ----------
        path : path-like
            The file.
        format : str, optional
            One of the formats in `ccdproc_echelle.orders.formats` that can be written. Default:
            ``"ecsv"``, the native format, which loses nothing.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is false.
        ValueError
            If the format is unknown or cannot be written.
        """
        write_orders(self, path, format=format, overwrite=overwrite)

    def to_specreduce(self, image: ArrayLike) -> list:
        """
        The order centres as traces of specreduce, from which it extracts spectra.

        specreduce has the dispersion along the columns (axis 1). Where the orders run along
        columns (``dispersion_axis`` 0), the traces belong to the transposed image: give it
        ``image.T`` in all that follows, or take ``trace.image``.

        Parameters
        ----------
        image : `~astropy.nddata.NDData` or array, shape (rows, columns)
            The frame the traces are for, not transposed.

        Returns
        -------
        list of ``specreduce.tracing.ArrayTrace``
            One for each order, in the order of the table; masked outside the valid range and off
            the detector. The mask, unit and uncertainty of the image go along.

        Raises
        ------
        ImportError
            If specreduce is not installed.
        ValueError
            If the table is for a detector of another shape.
        """
        bound = self.on_detector(np.shape(image))
        return specreduce_traces(bound.center(), self.dispersion_axis, image)

    # ------------------------------------------------------------------ properties

    @property
    def table(self) -> QTable:
        """A copy of the table: one row per order."""
        return self._table.copy()

    @property
    def order_numbers(self) -> np.ndarray:
        """Order numbers, shape (n_orders,)."""
        return np.array(self._table["order"], dtype=int)

    @property
    def source(self) -> Path | None:
        """The file it was read from; `None` for a table that was made or changed since."""
        return self._source

    @property
    def shape(self) -> tuple[int, int] | None:
        """Rows and columns of the detector; `None` if unknown."""
        return self._table.meta["shape"]

    @property
    def dispersion_axis(self) -> int:
        """The NumPy axis along which the orders run."""
        return self._table.meta["dispersion_axis"]

    @property
    def has_edges(self) -> bool:
        """Whether the order edges are known."""
        return "lower" in self._table.colnames

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator["EchelleOrderTable"]:
        """Iterate over the orders, each a table of one order."""
        return (self._rows([row]) for row in range(len(self)))

    def __repr__(self) -> str:
        numbers = self.order_numbers
        return (
            f"<EchelleOrderTable: {len(self)} orders ({numbers[0]} to {numbers[-1]}), "
            f"shape {self.shape}, dispersion_axis {self.dispersion_axis}, "
            f"{'with' if self.has_edges else 'no'} edges>"
        )

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        text = repr(self).strip("<>")
        return f"<p>{text}</p>{self._table._repr_html_()}"

    def _pixel_range(self) -> np.ndarray:
        return range_of(self._table)

    def _all_pixels(self) -> np.ndarray:
        return np.arange(self._known_shape()[self.dispersion_axis], dtype=float)

    # ------------------------------------------------------------------ evaluation

    def center(self, pixels: ArrayLike | None = None) -> np.ndarray:
        """
        Cross-dispersion position of the order centres.

        Parameters
        ----------
        pixels : array, shape (n_pixels,) or (n_orders, n_pixels), optional
            Dispersion pixels, the same or other ones for each order. Default: every pixel of the
            dispersion axis.

        Returns
        -------
        array, shape (n_orders, n_pixels)
            Position in pixel; NaN outside the valid range of an order.
        """
        return self._curve("center", pixels)

    def lower(self, pixels: ArrayLike | None = None) -> np.ndarray:
        """
        Cross-dispersion position of the lower order edges.

        Parameters and result as for `center`.

        Raises
        ------
        ValueError
            If the edges are not known.
        """
        return self._curve("lower", pixels)

    def upper(self, pixels: ArrayLike | None = None) -> np.ndarray:
        """
        Cross-dispersion position of the upper order edges.

        Parameters and result as for `center`.

        Raises
        ------
        ValueError
            If the edges are not known.
        """
        return self._curve("upper", pixels)

    def _curve(self, name: str, pixels: ArrayLike | None) -> np.ndarray:
        if name not in self._table.colnames:
            raise ValueError("this order table has no edges; detect_order_edges finds them")
        pixels = self._all_pixels() if pixels is None else np.atleast_1d(np.asarray(pixels, float))
        low, high = range_of(self._table).T
        return evaluate(coefficients_of(self._table, name), low, high, np.atleast_2d(pixels))

    # ------------------------------------------------------------------ new tables

    def on_detector(self, shape: tuple[int, int]) -> "EchelleOrderTable":
        """
        The table for frames of this shape.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of the frame.

        Returns
        -------
        `EchelleOrderTable`
            With that shape, where it was unknown.

        Raises
        ------
        ValueError
            If the table is for another shape, or no order centre lies on such a detector.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If the shape was unknown and the orders run past the end of the detector.
        """
        return type(self)(transforms.on_detector(self._table, checked_shape(shape)))

    def select(self, numbers: Sequence[int] | int) -> "EchelleOrderTable":
        """
        Only the named orders, as they are listed.

        Parameters
        ----------
        numbers : int or sequence of int
            Order numbers.

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        ValueError
            If an order is not in the table.
        """
        rows = {number: row for row, number in enumerate(self.order_numbers.tolist())}
        numbers = np.atleast_1d(numbers).tolist()
        missing = [number for number in numbers if number not in rows]
        if missing:
            raise ValueError(f"orders {missing} are not in the table, which has {list(rows)}")
        return self._rows([rows[number] for number in numbers])

    def shifted(self, delta: float) -> "EchelleOrderTable":
        """
        All orders moved along the cross-dispersion axis.

        Parameters
        ----------
        delta : float
            Pixels.

        Returns
        -------
        `EchelleOrderTable`
            Orders of which no part is left on the detector are dropped.

        Raises
        ------
        ValueError
            If no order is left.
        """
        return type(self)(transforms.affine(self._table, (1.0, delta), (1.0, 0.0), self.shape))

    def rebinned(self, factors: float | tuple[float, float]) -> "EchelleOrderTable":
        """
        The table for frames with another binning.

        Parameters
        ----------
        factors : float or tuple of float
            How many pixels (rows, columns) become one; below 1 to undo a binning. Rows and
            columns that do not fill a whole new pixel are lost, as in
            `astropy.nddata.block_reduce`.

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        ValueError
            If a factor is not positive, or larger than the detector.
        """
        factors = np.broadcast_to(np.asarray(factors, dtype=float), (2,))
        if not (factors > 0).all():
            raise ValueError(f"factors are {factors.tolist()}, expected positive numbers")
        return type(self)(transforms.rebinned(self._table, factors))

    def cropped(self, slices: tuple[slice, slice]) -> "EchelleOrderTable":
        """
        The table for a rectangular part of the detector.

        Parameters
        ----------
        slices : tuple of slice
            Slices of rows and columns, as they would be used to cut the image.

        Returns
        -------
        `EchelleOrderTable`
            Orders of which no part is left on the detector are dropped.

        Raises
        ------
        ValueError
            If a slice has a step or is empty, no order is left, or the detector shape is unknown.
        """
        self._known_shape()
        return type(self)(transforms.cropped(self._table, slices))

    def transposed(self) -> "EchelleOrderTable":
        """
        The table for the transposed image.

        Returns
        -------
        `EchelleOrderTable`
        """
        return type(self)(transforms.transposed(self._table))

    def flipped(self, axis: int) -> "EchelleOrderTable":
        """
        The table for the image flipped along one axis, as by `numpy.flip`.

        Parameters
        ----------
        axis : int
            0 where rows are reversed, 1 where columns are.

        Returns
        -------
        `EchelleOrderTable`
            Flipped across the dispersion, the lower edges become the upper ones.

        Raises
        ------
        ValueError
            If ``axis`` is neither 0 nor 1, or the detector shape is unknown.

        Examples
        --------
        >>> from ccdproc_echelle import EchelleOrderTable
        >>> orders = EchelleOrderTable.from_polynomials(
        ...     [1], [[2, 0.1]], shape=(10, 31), dispersion_axis=1)
        >>> orders.flipped(0).center([0, 30])
        array([[7., 4.]])
        >>> orders.flipped(1).center([0, 30])
        array([[5., 2.]])
        """
        if isinstance(axis, bool) or axis not in (0, 1):
            raise ValueError(f"axis is {axis!r}, expected 0 (rows) or 1 (columns)")
        self._known_shape()
        return type(self)(transforms.flipped(self._table, axis))

    def _rows(self, rows: ArrayLike) -> "EchelleOrderTable":
        return type(self)(self._table[rows])


def checked_orders(orders) -> EchelleOrderTable:
    """
    What was given as an order table, which must be one.

    Parameters
    ----------
    orders : object
        An argument of a function.

    Returns
    -------
    `EchelleOrderTable`
        The same.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(orders, EchelleOrderTable):
        raise TypeError(f"orders is a {type(orders).__name__}, expected an EchelleOrderTable")
    return orders
