# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Test whether one level per frame suffices, or each order of a frame needs its own."""

from typing import NamedTuple

import numpy as np
from astropy.table import QTable
from scipy.special import chdtrc

__all__ = ["OneLevelTest", "one_level_test"]

# One level per frame suffices unless the orders differ by more than chance and by more than this:
# with bright lamps, even irrelevant differences are significant.
_SIGNIFICANT = 1e-3
_RELEVANT = 1e-3


class OneLevelTest(NamedTuple):
    """
    Result of `one_level_test`: whether one level per frame suffices.

    Attributes
    ----------
    chi2 : float
        Sum of the squared differences, in units of their standard deviations.
    dof : int
        Degrees of freedom: 0 for a single frame or order.
    p_value : float
        Probability that differences this large arise by chance; NaN without degrees of freedom.
    excess : float
        RMS relative difference between the orders of a frame that noise does not explain; NaN
        without degrees of freedom.
    """

    chi2: float
    dof: int
    p_value: float
    excess: float

    @property
    def suffices(self) -> bool:
        """False if the differences are both significant and relevant: both limits are 0.001."""
        return not (self.p_value < _SIGNIFICANT and self.excess > _RELEVANT)


def one_level_test(levels: QTable) -> OneLevelTest:
    """
    Test whether one level per frame suffices, or orders need their own levels.

    The logarithms of the order levels are modelled as the sum of one number for each frame, its
    level, and one for each order, which absorbs the noise that all frames have in common, that of
    the master. Both are fitted by least squares, so that chi-square has ``(n_frames - 1) *
    (n_orders - 1)`` degrees of freedom. Orders without a level are ignored.

    Parameters
    ----------
    levels : `~astropy.table.QTable`
        Table returned by `measure_exposure_levels` with ``per_order=True``.

    Returns
    -------
    `OneLevelTest`
        Significance and size of the differences, and the verdict ``suffices``.

    Raises
    ------
    ValueError
        If the table has no order levels.

    References
    ----------
    Two-way layout without interaction: Scheffé 1959, *The Analysis of Variance*, chapter 4.

    Examples
    --------
    >>> from ccdproc_echelle import measure_exposure_levels
    >>> from ccdproc_echelle.combining.one_level import one_level_test
    >>> from ccdproc_echelle.simulation import EchelleSimulation
    >>> simulation = EchelleSimulation(shape=(128, 128), n_orders=3).with_color_drift(0.05)
    >>> levels = measure_exposure_levels(
    ...     simulation.flats(4), simulation.truth.orders, per_order=True)
    >>> one_level_test(levels).suffices
    False
    """
    if "order_level" not in levels.colnames:
        raise ValueError("levels have no column order_level; measure them with per_order=True")
    values = levels["order_level"].value
    sigmas = levels["order_level_uncertainty"].value / values
    known = (np.isfinite(sigmas) & (sigmas > 0)).all(axis=0)
    dof = int((len(values) - 1) * max(0, known.sum() - 1))
    if dof == 0:
        return OneLevelTest(0.0, 0, np.nan, np.nan)
    weights = sigmas[:, known] ** -2
    total = float((weights * _without_main_effects(np.log(values[:, known]), weights) ** 2).sum())
    excess = np.sqrt(max(0.0, total / dof - 1) / weights.mean())
    return OneLevelTest(total, dof, float(chdtrc(dof, total)), float(excess))


def _without_main_effects(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values minus one number for each row and one for each column, fitted by least squares."""
    rows, columns = weights.sum(axis=1), weights.sum(axis=0)
    shares = weights / columns
    # Columns are eliminated. The sum of the row numbers is undetermined, which lstsq tolerates.
    normal = np.diag(rows) - shares @ weights.T
    right = (weights * values).sum(axis=1) - shares @ (weights * values).sum(axis=0)
    values = values - np.linalg.lstsq(normal, right, rcond=None)[0][:, None]
    return values - (shares * values).sum(axis=0)
