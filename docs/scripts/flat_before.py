# Licensed under a 3-clause BSD style license - see LICENSE.rst
from pathlib import Path

import ccdproc as ccdp
import numpy as np
from astropy.stats import mad_std


def inv_median(data):
    return 1 / np.median(data)


reduced = Path("reduced")
frames = ccdp.ImageFileCollection(reduced)
files = frames.files_filtered(imagetyp="flat", include_path=True)
flat = ccdp.combine(files, scale=inv_median, signma_clip_dev_func=mad_std,
    method="average", sigma_clip=True, sigma_clip_func=np.ma.median,
    sigma_clip_low_thresh=5, sigma_clip_high_thresh=5,
    mem_limit=350e6)
flat.meta["combined"] = True
flat.write(reduced / "combined_flat.fits")
