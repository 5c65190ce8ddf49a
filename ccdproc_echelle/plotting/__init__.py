# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figures of flats and of what was measured on them; the only wing that needs matplotlib."""

from ccdproc_echelle.plotting.figures import (
    plot_blaze,
    plot_cross_section,
    plot_edge_residuals,
    plot_flags,
    plot_levels,
    plot_orders,
    plot_pixel_response,
    plot_quality,
    plot_rejections,
    plot_signal_to_noise,
    plot_summary,
)

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
]
