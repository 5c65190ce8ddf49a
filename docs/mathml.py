# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Formulas as MathML, which browsers draw by themselves: no script, no font and no network."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.math import get_node_equation_number

# The optional argument of a line break, which docutils does not know.
_ROW_GAP = re.compile(r"(\\\\)\[[^]]*\]")

# Browsers do not stretch the accent that docutils sets over several symbols; they draw borders.
_OVERLINE = re.compile(
    r'<mover accent="false">((?:(?!<mover).)*?)<mo accent="true">_</mo>\s*</mover>', re.DOTALL
)


def _mathml(text: str, as_block: bool) -> str:
    math = tex2mathml(text, as_block=as_block)
    if as_block:  # fractions keep their size in aligned equations
        math = math.replace("<mtable", '<mtable displaystyle="true"')
    math = _OVERLINE.sub(r'<mrow class="math-overline">\1</mrow>', math)
    # Beside a subscript a bracket does not grow, so its partner must not either.
    return re.sub("<mo>([⟨⟩])</mo>", r'<mo stretchy="false">\1</mo>', math)


def _inline(translator, node):
    translator.body.append(_mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def _block(translator, node):
    text = _ROW_GAP.sub(r"\1", node.astext())
    if "&" in text or r"\\" in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    translator.body.append(translator.starttag(node, "div", CLASS="math-block"))
    if node["number"]:
        translator.body.append(
            f'<span class="eqno">({get_node_equation_number(translator, node)})</span>'
        )
    translator.body.append(_mathml(text, as_block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
