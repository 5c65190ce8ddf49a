# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Roots and products of matrices with a few hundred rows or columns, without BLAS threads.

For such matrices the threads mostly wait for each other, and for a tenth of a second afterwards for
more, which takes longer than the computation.
"""

import numpy as np
from scipy.linalg.lapack import dtrtri

__all__ = ["inverse_root", "slab_product", "triangle"]

# Products with fewer multiplications than this are done by BLAS in a single thread.
_ALONE = 2**18

# Matrices up to this size, and tall ones with up to this number of elements, are factorised
# directly.
_SMALL, _FEW = 64, 2**12


def inverse_root(matrix: np.ndarray) -> np.ndarray:
    """
    Lower triangular matrix L for which ``L.T @ L`` is the inverse of a matrix.

    The matrix is halved until LAPACK uses a single thread.

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
    if len(matrix) <= _SMALL:
        return dtrtri(np.linalg.cholesky(matrix), lower=True)[0]
    half = len(matrix) // 2
    first = inverse_root(matrix[:half, :half])
    below = matrix[half:, :half] @ first.T
    last = inverse_root(matrix[half:, half:] - below @ below.T)
    root = np.zeros_like(matrix)
    root[:half, :half], root[half:, half:] = first, last
    root[half:, :half] = -last @ (below @ first)
    return root


def slab_product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """
    Product of two matrices, in slabs of rows so small that BLAS uses a single thread.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.roots import slab_product
    >>> matrix = np.ones((200, 150))
    >>> bool((slab_product(matrix, matrix.T) == 150).all())
    True
    """
    n = max(_ALONE // max(second.size, 1), 1)
    return np.concatenate([first[i : i + n] @ second for i in range(0, len(first), n)])


def triangle(rows: np.ndarray) -> np.ndarray:
    """
    Upper triangular matrix R for which ``R.T @ R`` is ``rows.T @ rows``, without forming that.

    Groups of rows are reduced to a triangle each, and those again, until they fit in one group.

    Examples
    --------
    >>> import numpy as np
    >>> from ccdproc_echelle._numeric.roots import triangle
    >>> rows = np.vander(np.linspace(-1, 1, 5000), 3)
    >>> bool(np.allclose(triangle(rows).T @ triangle(rows), rows.T @ rows))
    True
    """
    n, n_columns = rows.shape
    size = max(_FEW // n_columns, 2 * n_columns)
    if n <= size:
        return np.linalg.qr(rows, mode="r")
    groups = np.pad(rows, ((0, -n % size), (0, 0))).reshape(-1, size, n_columns)
    return triangle(np.linalg.qr(groups, mode="r").reshape(-1, n_columns))
