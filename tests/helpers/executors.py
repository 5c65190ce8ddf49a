# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Executors that several wings are tested on, each started once."""

import multiprocessing
import multiprocessing.forkserver
import tempfile
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

# By default a cluster looks at itself so often that it takes a tenth of a core for the rest of the
# tests. It is one for all of them.
CALM = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    **{f"distributed.worker.memory.{at}": False
       for at in ("target", "spill", "pause", "terminate")},
}


class SerialExecutor(Executor):
    """Does the work at once, where it is submitted."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future


@pytest.fixture(scope="session")
def forkserver():
    """
    Context of processes that are forks of one which has the package, and are started at once.

    Forks of this process would inherit whatever other tests have opened.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ccdproc_echelle.cli.flat"])
    multiprocessing.forkserver.ensure_running()  # its socket is not in the folder of a test
    return context


@pytest.fixture(scope="session")
def executors(tmp_path_factory, forkserver):
    """Executors by name, each started when it is asked for first."""
    started = {"serial": SerialExecutor()}

    def get(name):
        if name not in started:
            if name == "processes":
                started[name] = ProcessPoolExecutor(2, mp_context=forkserver)
            elif name == "dask":
                started[name] = dask_executor()
            else:
                started[name] = ThreadPoolExecutor(int(name.split()[0]))
        return started[name]

    clusters = []

    def dask_executor():
        distributed = pytest.importorskip(
            "distributed", reason="no test on a dask cluster: distributed is not installed"
        )
        dask = pytest.importorskip("dask")
        with pytest.MonkeyPatch.context() as patch, dask.config.set(CALM):
            # not in the temporary folder of the test that happens to be the first
            patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("dask")))
            cluster = distributed.LocalCluster(
                n_workers=1, threads_per_worker=2, processes=True,
                host="127.0.0.1", dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
            )
            client = distributed.Client(cluster)
        clusters.extend([client, cluster])
        return client.get_executor()

    yield get
    for executor in started.values():
        executor.shutdown()
    for part in clusters:
        part.close()
