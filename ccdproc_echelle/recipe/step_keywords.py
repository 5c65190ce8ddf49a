# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Keywords of the steps to which the recipe passes them on as a whole."""

from inspect import signature

from ccdproc_echelle.light import find_bad_response
from ccdproc_echelle.orders import detect_order_edges, trace_orders

__all__ = ["step_hint"]

_STEPS = {
    "trace_keywords": trace_orders,
    "edge_keywords": detect_order_edges,
    "sensitivity_keywords": find_bad_response,
}


def step_hint(name: str) -> str:
    """
    Say where a keyword of a step belongs, to append to an error message about an unknown name.

    Parameters
    ----------
    name : str
        The unknown name.

    Returns
    -------
    str
        Empty if no step has such a keyword.

    Examples
    --------
    >>> from ccdproc_echelle.recipe.step_keywords import step_hint
    >>> step_hint("first_order")
    '; it is a keyword of trace_orders: put it in trace_keywords'
    """
    found = [table for table, step in _STEPS.items() if name in signature(step).parameters]
    if not found:
        return ""
    steps = " and ".join(_STEPS[table].__name__ for table in found)
    return f"; it is a keyword of {steps}: put it in {' or '.join(found)}"
