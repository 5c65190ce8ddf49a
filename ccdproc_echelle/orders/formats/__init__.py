# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
File formats of order tables: the native format and those of other programs.

======== ======================================= ==== ===== ============== =====================
name     program                                 read write has shape?     has dispersion axis?
======== ======================================= ==== ===== ============== =====================
ecsv     this package: the table as it is        yes  yes   yes            yes
soxspipe soxspipe (SOXS, X-shooter): FITS, CSV   yes  FITS  no             yes
iraf     IRAF apextract: database/ap... files    yes  yes   no             yes
pyreduce PyReduce: npz archive, FITS traces      yes  no    no             yes
pypeit   PypeIt: Slits_*.fits.gz                 yes  no    yes            yes
cr2res   cr2res (CRIRES+): TRACE_WAVE            yes  no    yes            yes
kpf      KPF pipeline: order trace CSV           yes  no    no             yes
maroonx  MAROON-X (DRAGONS): processed flats     yes  no    yes            yes
samples  any: text file of sampled centres       yes  yes   no             no, inferred from shape
ds9      SAOImage DS9: regions for display       no   yes   no             no
======== ======================================= ==== ===== ============== =====================

Each format is a module that registers itself (`~ccdproc_echelle.orders.register_format`).
"""

# Registered first, so that it is tried last: any file of numbers looks like one of its own.
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
