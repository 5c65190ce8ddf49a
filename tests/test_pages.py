# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The examples of pages and docstrings, as readers copy them."""

import codeop
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXTS = [
    *ROOT.glob("*.rst"),
    *ROOT.glob("docs/*.rst"),
    *ROOT.glob("docs/guide/*.rst"),
    *ROOT.glob("ccdproc_echelle/**/*.py"),
]


def copied_blocks(text):
    """The lines that the copy button takes of each block of code."""
    for block in re.split(r"\n\s*\n", text):
        lines = [re.match(r"\s*(?:>>> |\.\.\. |\.\.\.$)(.*)", line) for line in block.split("\n")]
        yield [line[1] for line in lines if line]


def can_be_pasted(block):
    typed = []
    for line in [*block, ""]:  # a last Enter
        typed.append(line)
        try:
            if codeop.compile_command("\n".join(typed)) is not None:
                typed = []
        except SyntaxError:
            return False
    return not typed


def test_blocks_of_code_can_be_pasted_into_python():
    assert len(TEXTS) > 100
    for path in TEXTS:
        for block in copied_blocks(path.read_text(encoding="utf-8")):
            assert can_be_pasted(block), (path.name, block)
