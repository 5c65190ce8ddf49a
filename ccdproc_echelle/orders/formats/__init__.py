# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Files of order tables: the native one and those of other programs.

======== ======================================= ==== ===== ============== =====================
name     program                                 read write carries shape? carries the axis?
======== ======================================= ==== ===== ============== =====================
ecsv     this package: the table as it is        yes  yes   yes            yes
soxspipe soxspipe (SOXS, X-shooter): FITS, CSV   yes  FITS  no             yes
iraf     IRAF apextract: database/ap... files    yes  yes   no             yes
pyreduce PyReduce: npz archive, FITS traces      yes  no    no             yes
pypeit   PypeIt: Slits_*.fits.gz                 yes  no    yes            yes
cr2res   cr2res (CRIRES+): TRACE_WAVE            yes  no    yes            yes
kpf      KPF pipeline: order trace CSV           yes  no    no             yes
maroonx  MAROON-X (DRAGONS): processed flats     yes  no    yes            yes
samples  any: a text file of sampled centres     yes  yes   no             no, found from shape
ds9      SAOImage DS9: regions to look at        no   yes   no             no
======== ======================================= ==== ===== ============== =====================

A format is a module that registers itself (`~ccdproc_echelle.orders.register_format`).
"""

# Asked last whether a file is its own, as any file of numbers is: the first to be registered.
from ccdproc_echelle.orders.formats import samples

# isort: split

from ccdproc_echelle.orders.formats import (
    cr2res,
    ds9,
    ecsv,
    iraf,
    kpf,
    maroonx,
    pypeit,
    pyreduce,
    soxspipe,
)

__all__ = [
    "cr2res", "ds9", "ecsv", "iraf", "kpf", "maroonx", "pypeit", "pyreduce", "samples", "soxspipe",
]
