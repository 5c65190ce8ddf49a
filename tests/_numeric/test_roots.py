# Licensed under a 3-clause BSD style license - see LICENSE.rst
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ccdproc_echelle._numeric.roots import triangle

# Prints how many threads of BLAS there are, and for how many nanoseconds the fits of a large
# detector kept them busy. A thread that was woken looks for more work for a tenth of a second.
FITS = """
import os, threading, time
import numpy as np
from numpy.polynomial.chebyshev import chebvander2d
from ccdproc_echelle._numeric.robust import clipped_fit, soft_fit
from ccdproc_echelle.light.order_fit import fit_order

def busy():
    others = set(os.listdir("/proc/self/task")) - {str(threading.main_thread().native_id)}
    spent = [open(f"/proc/self/task/{i}/schedstat").read().split()[0] for i in others]
    return len(others), sum(map(int, spent))

while (before := busy()) != (time.sleep(0.05), busy())[1]:
    pass
x, y = np.random.default_rng(1).uniform(-1, 1, (2, 9000))
basis = chebvander2d(x, y, (5, 3)).reshape(9000, -1)
clipped_fit(basis, x + y**2, sigma=5, maxiters=2, least_scatter=1e-3)
soft_fit(basis, x + y**2, least_scatter=1e-3)
place = np.broadcast_to((np.arange(110.0)[:, None] + 0.5) / 110, (110, 4096))
fit_order(np.ones((110, 4096)), np.ones((110, 4096), bool), place, 110.0, 51)
print(before[0], busy()[1] - before[1])
"""


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (2000, 12), (100_001, 7), (700, 90)])
def test_the_triangle_of_many_rows_is_that_of_all_at_once(shape):
    rows = np.random.default_rng(1).normal(size=shape)
    found = triangle(rows)
    assert found.shape == (min(shape), shape[1])
    np.testing.assert_array_equal(found, np.triu(found))
    np.testing.assert_allclose(found.T @ found, rows.T @ rows, rtol=1e-10, atol=1e-10 * len(rows))


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.1.0",
    reason="the OpenBLAS of an older NumPy starts threads for smaller products",
)
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="threads are timed in /proc")
def test_fits_leave_the_threads_of_blas_asleep():
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    process = subprocess.run(
        [sys.executable, "-c", FITS], env=environment, capture_output=True, text=True, check=True
    )
    n_threads, nanoseconds = map(int, process.stdout.split())
    if n_threads == 0:
        pytest.skip("this BLAS has no threads")
    assert nanoseconds < 1e6
