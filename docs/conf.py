# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sphinx configuration. The environment variable DOCS_OFFLINE=1 builds without a network."""

import builtins
import importlib
import inspect
import os
import re
import sys
from importlib.metadata import metadata
from pathlib import Path

from sphinx_astropy.conf.v3 import *

# -- Project ------------------------------------------------------------------

project = "ccdproc_echelle"
author = metadata(project)["Author"]
copyright = f"2026, {author}"
release = metadata(project)["Version"]
version = release.partition("+")[0]
html_title = f"{project} {version}"
html_theme_options = {"goatcounter_analytics_url": ""}  # nobody is counted
html_static_path = ["_static"]
html_css_files = ["code.css"]
html_last_updated_fmt = None  # the same sources give the same pages
toc_object_entries_show_parents = "hide"  # short names fit the side bar

# What the copy button takes: a bare ... too, as the blank line that ends a block in Python, and the
# further lines of a command.
copybutton_prompt_text = r">>> |\.\.\.(?: |$)|\$ "
copybutton_line_continuation_character = "\\"

# -- Extensions ---------------------------------------------------------------

_DOCS = Path(__file__).parent
sys.path.insert(0, str(_DOCS))  # for mathml and house

extensions += ["mathml", "sphinx_gallery.gen_gallery"]
html_math_renderer = "mathml"
exclude_patterns += ["recipes", "scripts", "generated/recipes/*.ipynb", "generated/recipes/*.py"]

# What tools write goes to one folder, docs/generated.
automodapi_toctreedirnm = "generated/api"
automodapi_inheritance_diagram = False
autodoc_typehints = "none"  # numpydoc's sections give the types, in words
autodoc_preserve_defaults = True  # a default by its name, however long its value

# A class page shows the members that the package defines, in the class or in its bases, but not
# what any enumeration or data class has. Fields are described with the class itself.
templates_path = ["_templates"]


def _at_home_in(fullname):
    """The names of the members of a class that are written in this package."""
    module, _, name = fullname.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    ours = [base for base in thing.__mro__ if base.__module__.partition(".")[0] == project]
    members = {member for base in ours for member in vars(base) if not member.startswith("_")}
    fields = {field for base in ours for field in inspect.get_annotations(base)}
    return members - fields


autosummary_context = {"at_home_in": _at_home_in}

# The order of the gallery: from a first look to the night's work.
_RECIPES = [
    "drop_in", "soxs_recipe", "raw_frames", "twilight", "tracing", "order_tables", "bad_pixels",
    "science_frame", "two_lamps", "pulls", "night_on_dask", "lab_echelle",
]


suppress_warnings = ["config.cache"]  # a function cannot be cached, so recipes always run anew


def recipe_order(filename):
    return _RECIPES.index(filename.removeprefix("plot_").removesuffix(".py"))


sphinx_gallery_conf = {
    "examples_dirs": "recipes",
    "gallery_dirs": "generated/recipes",
    "filename_pattern": r"[\\/]plot_",
    "within_subsection_order": recipe_order,
    "image_scrapers": ("matplotlib",),
    "abort_on_example_error": True,
    "remove_config_comments": True,
    # no run times: the same sources give the same pages
    "min_reported_time": float("inf"),
    "write_computation_times": False,
    "show_memory": False,
}

# -- The plan of the house, for the page on contributing -----------------------

import house  # noqa: E402

house.write_plan(_DOCS / "generated")

# -- References ---------------------------------------------------------------

nitpicky = True

for unused in ("astropy.org", "h5py", "pythonloc"):
    intersphinx_mapping.pop(unused, None)
intersphinx_mapping["ccdproc"] = ("https://ccdproc.readthedocs.io/en/stable/", None)

# numpydoc links the types that are written by their short names here, and no other word.
_BUILTINS = ("bool", "dict", "float", "int", "list", "str", "tuple")
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    **{name: f":class:`{name} <python:{name}>`" for name in _BUILTINS},
    **{name: f":term:`{name} <python:{name}>`" for name in ("iterable", "sequence")},
    **{name: f":data:`{name} <python:{name}>`" for name in ("None", "True", "False")},
    "array-like": ":term:`array-like <numpy:array_like>`",
    "array_like": ":term:`array-like <numpy:array_like>`",
    "callable": ":func:`callable <python:callable>`",
    "CCDData": "astropy.nddata.CCDData",
    "EchelleOrderTable": "ccdproc_echelle.EchelleOrderTable",
    "ImageFileCollection": "ccdproc.ImageFileCollection",
    "MasterFlat": "ccdproc_echelle.MasterFlat",
    "QTable": "astropy.table.QTable",
    "Quantity": "astropy.units.Quantity",
    "ndarray": "numpy.ndarray",
}

if os.environ.get("DOCS_OFFLINE", "0") not in ("", "0"):
    # Other projects' pages cannot be asked then, so their names are taken on trust; ours are
    # checked as always.
    intersphinx_mapping.clear()
    elsewhere = "|".join(
        ["astropy", "ccdproc", "matplotlib", "numpy", "scipy", "python"]
        + [*sys.stdlib_module_names, *dir(builtins)]
    )
    nitpick_ignore_regex = [("(py|std):.*", rf"({elsewhere})([.:].*)?")]


def _at_home(app, env, node, contnode):
    """Find a name of the package that was written without the module that defines it."""
    if node.get("refdomain") != "py":
        return None
    node["refspecific"] = True  # look in every module
    name = node["reftarget"].removeprefix(f"{project}.")
    return env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], name, node, contnode
    )


# In narrow columns and in titles a name breaks after an underscore, a dot or a slash, and an option
# not at all.
_CODE = re.compile(r'(?<=<span class="pre">)[^<]+')
_NAME_ALONE = re.compile(r"((?<=<td><p>)|(?<=<h1>))[a-z]\w*[._][\w.]+")
_JOINTS = re.compile(r"(?<=\w)([_./=(,])(?=\w)")
_OPTION = re.compile(r"--\w[\w-]*")
# A figure of a recipe, which opens alone when it is touched: on a phone it is small.
_FIGURE = re.compile(r'<img src="([^"]+)"[^>]*class = "sphx-glr-single-img"/>')


def _breaking(code):
    if _OPTION.match(code[0]):
        return _OPTION.sub(r'<span class="option">\g<0></span>', code[0])
    return _JOINTS.sub(r"\1<wbr>", code[0])


def _fit_phones(app, pagename, templatename, context, doctree):
    if "body" in context:
        body = _CODE.sub(_breaking, context["body"])
        body = _NAME_ALONE.sub(_breaking, body)
        context["body"] = _FIGURE.sub(r'<a href="\1">\g<0></a>', body)
    for way in ("prev", "next"):
        if context.get(way) and "<" not in context[way]["title"]:
            context[way]["title"] = _JOINTS.sub(r"\1<wbr>", context[way]["title"])


def _past_functions(app, pagename, templatename, context, doctree):
    """Outside the pages of single functions, Previous and Next lead past them."""
    if pagename.startswith(automodapi_toctreedirnm):
        return
    for way, place in (("prev", 1), ("next", 2)):
        other = context.get(way) and app.builder.relations[pagename][place]
        while other and other.startswith(automodapi_toctreedirnm):
            other = app.builder.relations[other][place]
        if other:
            link = app.builder.get_relative_uri(pagename, other)
            context[way] = {"link": link, "title": app.env.titles[other].astext()}


def _without_constructor(app, what, name, thing, options, lines):
    """Leave out what Python says of every named tuple."""
    lines[:] = [line for line in lines if not line.startswith("Create new instance of")]


def setup(app):
    app.connect("autodoc-process-docstring", _without_constructor)
    app.connect("missing-reference", _at_home)
    app.connect("html-page-context", _fit_phones)
    app.connect("html-page-context", _past_functions)
