# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Numerical tools that several wings use, each written once: plain arrays, checks of numbers."""
