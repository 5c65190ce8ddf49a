# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Order tables that the tests share."""

from ccdproc_echelle.orders import EchelleOrderTable


def centers_only(orders: EchelleOrderTable, degree: int = 4) -> EchelleOrderTable:
    """The order table as a user has it: order centres, no edges."""
    return EchelleOrderTable.from_traces(
        orders.order_numbers, orders.center(), shape=orders.shape,
        dispersion_axis=orders.dispersion_axis, degree=degree,
    )
