# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Roots of positive definite matrices."""

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dtrtri

__all__ = ["inverse_root"]


def inverse_root(matrix: np.ndarray) -> np.ndarray:
    """
    The lower triangular matrix whose product, its transpose first, is the inverse of a matrix.

    For matrices of some hundred rows: LAPACK's solvers for many right sides, and its inverse, put
    threads on them that mostly wait for each other; triangles and products of them it leaves alone.

    Raises
    ------
    `~numpy.linalg.LinAlgError`
        If the matrix is not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.roots import inverse_root
    >>> root = inverse_root(np.array([[4.0, 2.0], [2.0, 3.0]]))
    >>> root.T @ root
    array([[ 0.375, -0.25 ],
           [-0.25 ,  0.5  ]])
    """
    factor, failure = dpotrf(matrix, lower=True, clean=True)
    if failure == 0:
        factor, failure = dtrtri(factor, lower=True)
    if failure:
        raise LinAlgError("the matrix is not positive definite")
    return factor
