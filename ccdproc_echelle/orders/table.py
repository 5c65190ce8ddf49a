# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order tables: polynomial order centres and edges on the detector."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike

from ccdproc_echelle._numeric.arguments import expect, is_finite
from ccdproc_echelle.orders import building, transforms
from ccdproc_echelle.orders.checks import check_columns, check_orders, checked_axis, checked_shape
from ccdproc_echelle.orders.columns import coefficients_of, copied, range_of
from ccdproc_echelle.orders.curves import evaluate
from ccdproc_echelle.orders.detector import OrdersOnDetector
from ccdproc_echelle.orders.registry import read_orders, write_orders
from ccdproc_echelle.orders.specreduce import frame_of, specreduce_strips, specreduce_traces

__all__ = ["EchelleOrderTable", "checked_orders"]


class EchelleOrderTable(OrdersOnDetector):
    """
    Order centres and, optionally, order edges of an echelle spectrograph.

    Each order is a row of the table with its order number, the range of dispersion pixels over
    which it is valid, and Chebyshev coefficients that give the cross-dispersion position of the
    order centre (and of the lower and upper edge) as a function of the dispersion pixel. The
    Chebyshev variable runs from -1 to 1 over the valid range of the row, which keeps fits well
    conditioned at any degree.

    Pixel centres are 0-based integers; pixel ``p`` covers ``p - 0.5`` to ``p + 0.5``. The table is
    immutable: methods return new tables.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        Columns ``order`` (integer, unique, not 0), ``pixel_min`` and ``pixel_max`` (valid range, in
        pixels), ``center`` (Chebyshev coefficients in pixels, shape ``(n_orders, degree + 1)``)
        and, optionally, ``lower`` and ``upper`` (same as ``center``), ``center_rms``, ``lower_rms``
        and ``upper_rms`` (fit residuals, in pixels), ``lower_measured_min`` and
        ``lower_measured_max`` and likewise for ``upper`` (first and last dispersion pixel at which
        the edge was measured, NaN if nowhere), and any other columns. ``table.meta`` holds
        ``shape`` (rows and columns of the detector; `None` if unknown) and ``dispersion_axis``
        (NumPy axis along which the orders run: 1 along image rows, 0 along columns).

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
        table = copied(table)
        check_columns(table)
        table.meta["shape"] = checked_shape(table.meta.get("shape"))
        table.meta["dispersion_axis"] = checked_axis(table.meta.get("dispersion_axis"))
        check_orders(table)
        self._table = table
        self._source: Path | None = None
        # Whether `on_detector` has found it to fit its detector: orders do not change.
        self._fits = False
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
        Create an order table from polynomials in the dispersion pixel.

        Parameters
        ----------
        order_numbers : array of int, shape (n_orders,)
            Order numbers.
        coefficients : array, shape (n_orders, degree + 1)
            Coefficients of the order centres, in pixels, in powers of the 0-based dispersion pixel,
            lowest power first.
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
            If the lengths of numbers and coefficients differ, if neither ``shape`` nor
            ``pixel_range`` is given, or if the resulting `EchelleOrderTable` would be invalid.

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
        Create an order table from positions sampled at every dispersion pixel.

        Parameters
        ----------
        order_numbers : array of int, shape (n_orders,)
            Order numbers.
        centers : array, shape (n_orders, n_pixels)
            Cross-dispersion position of each order centre at each dispersion pixel; NaN or masked
            where the order was not traced. The valid range of an order extends from its first to
            its last finite position.
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
            If the shapes are inconsistent, or an order has fewer than ``degree + 1`` finite
            positions.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If a series of this degree misses an order by more than half a pixel over a stretch of
            the detector, not just at isolated pixels. The orders are named.

        Examples
        --------
        An order traced only on the first half of the detector:

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
        Return a table with the same order centres and edges fitted to sampled positions.

        Parameters
        ----------
        lower, upper : array, shape (n_orders, n_pixels)
            Edge positions at every dispersion pixel. Positions that are NaN or outside the valid
            range of the order are ignored.
        degree : int, optional
            Degree of the Chebyshev series fitted to each edge by least squares.

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        ValueError
            If the shapes are inconsistent, or an order has fewer than ``degree + 1`` usable
            positions.
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
            The file to read.
        format : str, optional
            One of the formats in `ccdproc_echelle.orders.formats`. Default: identified from the
            content of the file.
        shape : tuple of int, optional
            Rows and columns of the detector, for formats that do not contain them. If the file
            contains a different shape, an error is raised.
        dispersion_axis : int, optional
            1 when orders run along image rows, 0 when along columns, for formats that do not
            contain it.
        detector : str, optional
            Detector whose orders are read, for files with several detectors (cr2res, KPF).

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the format is unknown, or the content is malformed or contradicts ``shape`` or
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
            The file to write.
        format : str, optional
            One of the formats in `ccdproc_echelle.orders.formats` that can be written. Default:
            ``"ecsv"``, the native, lossless format.
        overwrite : bool, optional
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is false.
        ValueError
            If the format is unknown or cannot be written.
        """
        write_orders(self, path, format=format, overwrite=overwrite)

    def to_specreduce(self, image: ArrayLike, *, straighten: bool = False) -> list:
        """
        Convert the order centres to specreduce traces, for the extraction of spectra.

        specreduce expects the dispersion along the columns (axis 1) and ignores its ``disp_axis``.
        Each trace therefore contains the image that it belongs to, transposed if necessary: always
        extract from ``trace.image``, never from the frame itself.

        Boxcar extraction follows curved traces. ``HorneExtract`` does not: it fits a single profile
        to all orders at once, and shifts the values along the trace but neither mask nor variance.
        Use straightened orders with it.

        Parameters
        ----------
        image : `~astropy.nddata.NDData`, array or `MasterFlat`, shape (rows, columns)
            The frame that the traces are for, in detector orientation, not transposed. For a master
            flat, its flat is used.
        straighten : bool, optional
            Whether to cut each order out of the image: every column is shifted by whole pixels, so
            that the order centre stays within half a pixel of the middle row, and everything
            outside the order is masked. No pixel is interpolated. Requires order edges.

        Returns
        -------
        list of ``specreduce.tracing.ArrayTrace``, or of ``FlatTrace`` if straightened
            One trace per order, in the order of the table. An ``ArrayTrace`` is masked outside the
            valid range and off the detector; a straightened image is masked there. Each trace
            carries the image with its mask, unit and uncertainty.

        Raises
        ------
        ImportError
            If specreduce is not installed.
        ValueError
            If the table is for a detector of a different shape, or has no edges although they are
            required.
        """
        image = frame_of(image)
        bound, axis = self.on_detector(image.data.shape), self.dispersion_axis
        if straighten:
            return specreduce_strips(bound.center(), bound.lower(), bound.upper(), axis, image)
        return specreduce_traces(bound.center(), axis, image)

    # ------------------------------------------------------------------ properties

    @property
    def table(self) -> QTable:
        """A copy of the table: one row per order."""
        return copied(self._table)

    @property
    def order_numbers(self) -> np.ndarray:
        """Order numbers, shape (n_orders,)."""
        return np.array(self._table["order"], dtype=int)

    @property
    def source(self) -> Path | None:
        """File from which the table was read; `None` if it was created or modified in memory."""
        return self._source

    @property
    def shape(self) -> tuple[int, int] | None:
        """Rows and columns of the detector; `None` if unknown."""
        return self._table.meta["shape"]

    @property
    def dispersion_axis(self) -> int:
        """NumPy axis along which the orders run: 1 along image rows, 0 along columns."""
        return self._table.meta["dispersion_axis"]

    @property
    def has_edges(self) -> bool:
        """Whether the order edges are known."""
        return "lower" in self._table.colnames

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator["EchelleOrderTable"]:
        """Iterate over the orders; each item is a table with one order."""
        return (self._rows([row]) for row in range(len(self)))

    def __repr__(self) -> str:
        numbers = self.order_numbers
        return (
            f"<EchelleOrderTable: {len(self)} orders ({numbers[0]} to {numbers[-1]}), "
            f"shape {self.shape}, dispersion_axis {self.dispersion_axis}, "
            f"{'with' if self.has_edges else 'no'} edges>"
        )

    def _repr_html_(self) -> str:
        """HTML representation for notebooks."""
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
            Dispersion pixels, common to all orders or separate for each order. Default: every pixel
            of the dispersion axis.

        Returns
        -------
        array, shape (n_orders, n_pixels)
            Position in pixels; NaN outside the valid range of an order.
        """
        return self._curve("center", pixels)

    def lower(self, pixels: ArrayLike | None = None) -> np.ndarray:
        """
        Cross-dispersion position of the lower order edges.

        See `center` for the parameters and the returned array.

        Raises
        ------
        ValueError
            If the edges are not known.
        """
        return self._curve("lower", pixels)

    def upper(self, pixels: ArrayLike | None = None) -> np.ndarray:
        """
        Cross-dispersion position of the upper order edges.

        See `center` for the parameters and the returned array.

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
        Return the table for frames of the given shape.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of the frame.

        Returns
        -------
        `EchelleOrderTable`
            The table with that shape; this table if it has the shape already.

        Raises
        ------
        ValueError
            If the table is for a different shape, no order centre lies on such a detector, or two
            orders have the same centre.

        Warns
        -----
        `~astropy.utils.exceptions.AstropyUserWarning`
            If the shape was unknown and the orders extend beyond the detector.
        """
        shape = checked_shape(shape)
        if self._fits and shape == self.shape:
            return self
        table = transforms.on_detector(self._table, shape)
        orders = self if table is self._table else type(self)(table)
        orders._fits = True
        return orders

    def select(self, numbers: Sequence[int] | int) -> "EchelleOrderTable":
        """
        Return a table with the given orders only, in the order in which they are given.

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
        Return a table with all orders shifted along the cross-dispersion axis.

        Parameters
        ----------
        delta : float
            Shift in pixels.

        Returns
        -------
        `EchelleOrderTable`
            Orders that no longer touch the detector are dropped.

        Raises
        ------
        ValueError
            If no order is left.
        """
        expect(is_finite(delta), "delta", delta, "a number of pixels")
        return type(self)(transforms.affine(self._table, (1.0, delta), (1.0, 0.0), self.shape))

    def rebinned(self, factors: float | tuple[float, float]) -> "EchelleOrderTable":
        """
        Return the table for frames with a different binning.

        Parameters
        ----------
        factors : float or tuple of float
            Number of pixels (rows, columns) that are combined into one; below 1 to undo a binning.
            Rows and columns that do not fill a whole new pixel are dropped, as in
            `astropy.nddata.block_reduce`.

        Returns
        -------
        `EchelleOrderTable`

        Raises
        ------
        ValueError
            If a factor is not positive, or larger than the detector.
        """
        pair = factors if np.ndim(factors) else (factors, factors)
        if len(pair) != 2 or not all(is_finite(factor, above=0) for factor in pair):
            raise ValueError(f"factors are {factors!r}, expected positive numbers without a unit")
        return type(self)(transforms.rebinned(self._table, np.array(pair, dtype=float)))

    def cropped(self, slices: tuple[slice, slice]) -> "EchelleOrderTable":
        """
        Return the table for a rectangular section of the detector.

        Parameters
        ----------
        slices : tuple of slice
            Slices of rows and columns, as used to cut out the image.

        Returns
        -------
        `EchelleOrderTable`
            Orders that no longer touch the detector are dropped.

        Raises
        ------
        TypeError
            If ``slices`` is anything but two slices.
        ValueError
            If a slice has a step or is empty, no order is left, or the detector shape is unknown.
        """
        self._known_shape()
        return type(self)(transforms.cropped(self._table, slices))

    def transposed(self) -> "EchelleOrderTable":
        """
        Return the table for the transposed image.

        Returns
        -------
        `EchelleOrderTable`
        """
        return type(self)(transforms.transposed(self._table))

    def flipped(self, axis: int) -> "EchelleOrderTable":
        """
        Return the table for the image flipped along one axis, as by `numpy.flip`.

        Parameters
        ----------
        axis : int
            0 to reverse the rows, 1 to reverse the columns.

        Returns
        -------
        `EchelleOrderTable`
            If the image is flipped across the dispersion, lower and upper edges are swapped.

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
    Check that an argument is an order table.

    Parameters
    ----------
    orders : object
        The argument.

    Returns
    -------
    `EchelleOrderTable`
        The same object.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(orders, EchelleOrderTable):
        raise TypeError(f"orders is a {type(orders).__name__}, expected an EchelleOrderTable")
    return orders
