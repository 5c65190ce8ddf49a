# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Figures of flats and of quantities measured on them; the only subpackage that needs matplotlib.

No figure uses pyplot: each function draws on the given axes, or on a new figure that belongs to the
caller (``ax.figure.savefig``). Colours are those of Okabe & Ito (2008), with line styles as a
second cue; images are grey, so that lines stand out from them in print.
"""

from ccdproc_echelle.plotting.cross_section import plot_cross_section
from ccdproc_echelle.plotting.edges import plot_edge_residuals
from ccdproc_echelle.plotting.levels import plot_levels
from ccdproc_echelle.plotting.orders import plot_orders
from ccdproc_echelle.plotting.pixel_maps import plot_flags, plot_rejections
from ccdproc_echelle.plotting.quality import plot_quality, quality_lines
from ccdproc_echelle.plotting.response import plot_blaze, plot_pixel_response
from ccdproc_echelle.plotting.signal_to_noise import plot_signal_to_noise
from ccdproc_echelle.plotting.summary import plot_summary
from ccdproc_echelle.plotting.trends import plot_trends

__all__ = [
    "plot_blaze",
    "plot_cross_section",
    "plot_edge_residuals",
    "plot_flags",
    "plot_levels",
    "plot_orders",
    "plot_pixel_response",
    "plot_quality",
    "plot_rejections",
    "plot_signal_to_noise",
    "plot_summary",
    "plot_trends",
    "quality_lines",
]
