# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Web page of a night: a single file that requires neither network nor JavaScript."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from ccdproc_echelle._words import counted
from ccdproc_echelle.plotting import quality_lines
from ccdproc_echelle.recipe.night.plan import NightPlan
from ccdproc_echelle.recipe.night.product import FILES
from ccdproc_echelle.recipe.night.work import NightResult

__all__ = ["page_of_night"]

# Verdicts differ by sign and word as well as by colour; the colours are those of Okabe & Ito.
_SIGNS = {
    "pass": "\N{CHECK MARK}", "fail": "\N{WARNING SIGN}", "failed": "\N{MULTIPLICATION X}",
    "not judged": "\N{WHITE CIRCLE}",
}

_STYLE = """
:root { color-scheme: light dark; --line: #8888; --pass: #0072b2; --bad: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --pass: #56b4e9; --bad: #e69f00; } }
* { box-sizing: border-box; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
h1, h2, h3, p, dd, li, td { overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
.setups { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
article { border: 1px solid var(--line); border-left: .5rem solid var(--line); border-radius: .3rem;
  padding: .8rem; }
article.pass { border-left-color: var(--pass); }
article.fail, article.failed { border-left-color: var(--bad); border-left-style: double; }
.verdict { font-weight: bold; }
.pass .verdict { color: var(--pass); } .fail .verdict, .failed .verdict { color: var(--bad); }
img { display: block; height: auto; max-width: 100%; width: 100%; }
dl { display: grid; gap: .1rem .8rem; grid-template-columns: max-content 1fr; margin: .5rem 0; }
dt { opacity: .75; } dd { margin: 0; }
table { border-collapse: collapse; font-size: .85rem; width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .15rem .3rem; text-align: left; }
tr.fail { font-weight: bold; color: var(--bad); }
summary { cursor: pointer; padding: .3rem 0; } ul { padding-left: 1.2rem; }
"""


def page_of_night(plan: NightPlan, results: Sequence[NightResult]) -> str:
    """
    Create the web page of a night.

    Parameters
    ----------
    plan : `NightPlan`
        The plan.
    results : sequence of `NightResult`
        Result for each set-up.

    Returns
    -------
    str
        HTML with embedded thumbnails. Links are relative to the file and lead to the set-ups'
        files.
    """
    bad = [one for one in results if one.verdict in ("fail", "failed")]
    title = f"Master flats of {escape(plan.source)}"
    cards = "\n".join(_card(result) for result in sorted(results, key=_worst_first))
    left_out = _list(f"{path.name}: {reason}" for path, reason in plan.left_out)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p>{counted(len(results), "set-up")}, {counted(len(bad), "needs", "need")} attention.
<a href="qc.ecsv">Table of all quality parameters</a></p>
<main class="setups">
{cards}
</main>
<h2>Left out: {counted(len(plan.left_out), "file")}</h2>
{left_out}
</body>
</html>
"""


def _worst_first(result: NightResult) -> tuple[bool, bool, str]:
    return result.verdict != "failed", result.verdict != "fail", result.job.name


def _card(result: NightResult) -> str:
    job, verdict = result.job, result.verdict
    kind = verdict.replace(" ", "-")
    return f"""<article class="{kind}">
<h3>{escape(job.name)}</h3>
<p class="verdict">{_SIGNS[verdict]} {verdict}</p>
{_picture(result)}
{_what_is_wrong(result)}
{_list_of_plan(result)}
{_quality(result)}
</article>"""


def _picture(result: NightResult) -> str:
    if result.product is None:
        return ""
    encoded = base64.b64encode(result.product.thumbnail).decode()
    name = escape(result.job.name)
    image = f'<img src="data:image/png;base64,{encoded}" alt="master flat {name}">'
    if not (result.job.folder / FILES["summary"]).is_file():
        return image
    return f'<a href="{_link(result, "summary")}" title="summary">{image}</a>'


def _link(result: NightResult, which: str) -> str:
    return escape(f"{result.job.folder.name}/{FILES[which]}", quote=True)


def _what_is_wrong(result: NightResult) -> str:
    """The error, violated limits, frames left out, missing calibrations, and warnings."""
    lines = [result.message] if result.message else []
    if result.product is not None:
        lines += [
            f"beyond its limits: {name} = {value} {unit}".rstrip() + f", expected {limits}"
            for name, value, unit, limits, verdict in quality_lines(result.product.quality)
            if verdict == "fail"
        ]
        lines += [
            f"{'used anyway' if row['used'] else 'left out'}: {_file(row['frame'])}: "
            f"{row['verdict']}"
            for row in result.product.vetting if row["verdict"]
        ]
    lines += result.job.setup.notes
    return _list(lines)


def _file(name: str) -> str:
    return str(name).rpartition("/")[2]


def _list_of_plan(result: NightResult) -> str:
    job, product = result.job, result.product
    rows = [
        (word, _names(getattr(job.setup, role)))
        for word, role in (("flats", "flats"), ("bias", "bias"), ("dark", "dark"))
    ]
    rows.append(("orders", escape(job.orders_from)))
    if product is not None:
        rows += [("found", counted(product.n_orders, "order")), ("made", escape(product.made))]
    files = ", ".join(
        f'<a href="{_link(result, one)}">{name}</a>' for one, name in FILES.items()
        if (job.folder / name).is_file() and (product is not None or one == "log")
    ) or "none"
    rows.append(("files", files))
    return "<dl>" + "".join(f"<dt>{a}</dt><dd>{b}</dd>" for a, b in rows) + "</dl>"


def _names(frames) -> str:
    return escape(", ".join(frame.path.name for frame in frames)) or "none"


def _quality(result: NightResult) -> str:
    if result.product is None:
        return ""
    rows = "".join(
        f'<tr class="{verdict or "none"}">'
        f"{_cells(name.replace('_', ' '), f'{value} {unit}'.strip(), limits, verdict)}</tr>"
        for name, value, unit, limits, verdict in quality_lines(result.product.quality) if value
    )
    warned = _details(counted(len(result.product.warnings), "warning"), result.product.warnings)
    head = "<tr><th>quantity</th><th>value</th><th>limits</th><th>verdict</th></tr>"
    return f"{warned}<details><summary>Quality</summary><table>{head}{rows}</table></details>"


def _cells(*texts: str) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def _details(title: str, lines: Sequence[str]) -> str:
    return f"<details><summary>{title}</summary>{_list(lines)}</details>" if lines else ""


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
