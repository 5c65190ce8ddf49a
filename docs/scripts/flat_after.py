# Licensed under a 3-clause BSD style license - see LICENSE.rst
from pathlib import Path

import ccdproc as ccdp
import numpy as np
from astropy.stats import mad_std

from ccdproc_echelle import EchelleOrderTable, two_pass_flat_combine

orders = EchelleOrderTable.read("orders.ecsv")
reduced = Path("reduced")
frames = ccdp.ImageFileCollection(reduced)
files = frames.files_filtered(imagetyp="flat", include_path=True)
flat = two_pass_flat_combine(files, orders, sigma_clip_dev_func=mad_std,
    method="average", sigma_clip=True, sigma_clip_func=np.ma.median,
    sigma_clip_low_thresh=5, sigma_clip_high_thresh=5,
    mem_limit=350e6)
flat.meta["combined"] = True
flat.write(reduced / "combined_flat.fits")
