# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""An executor that is no other thread or process."""

from concurrent.futures import Executor, Future


class SerialExecutor(Executor):
    """Does the work at once, where it is submitted."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future
