# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Errors keep to the uncertainties that are claimed: the short form of benchmarks/proof.py."""

import importlib.util
import sys

import pytest


@pytest.fixture(scope="module")
def proof(pytestconfig):
    path = pytestconfig.rootpath / "benchmarks" / "proof.py"
    spec = importlib.util.spec_from_file_location("proof", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["proof"] = module  # where a dataclass looks its annotations up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["proof"]


# Orders that nearly touch, 21:1 in brightness and wide, 55:1 and cut by the border, and narrow with
# the brightest cut.
@pytest.fixture(scope="module", params=[346, 805, 1430, 1862])
def results(proof, request):
    return proof.measure(proof.Setup.random(request.param))


@pytest.mark.parametrize("kind", ["given", "traced"])
def test_master_keeps_to_its_uncertainties(results, kind):
    found = results[kind]
    assert found["pixel pulls"] == pytest.approx(1, abs=0.05)
    assert found["pixel pulls, robust"] == pytest.approx(1, abs=0.05)
    assert abs(found["pixel pulls, mean"]) < 0.1
    assert found["pixels beyond 5 sigma (1e-6)"] < 30
    assert found["level pulls"] < 3
    assert found["level error (1e-6)"] < 300


@pytest.mark.parametrize("kind", ["given", "traced"])
def test_edges_agree_with_truth(results, kind):
    assert results[kind]["edge error (px)"] < 0.05
    assert abs(results[kind]["edge bias (px)"]) < 0.005


def test_edge_points_scatter_as_they_claim(results):
    assert 0.6 < results["given"]["edge pulls"] < 1.6


@pytest.mark.parametrize("kind", ["given", "traced"])
def test_bad_pixels_and_orders_are_found(results, kind):
    found = results[kind]
    assert found["bad pixels missed (%)"] < 20
    assert found["bad pixels false (1e-6)"] < 30
    assert (found["orders missed"], found["orders false"]) == (0, 0)
