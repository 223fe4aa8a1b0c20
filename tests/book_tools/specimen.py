"""A small notebook with every kind of output, for the comparator to judge."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

CELLS = (
    "from reference_impl import notebook\n\nnotebook.begin()",
    "import matplotlib.pyplot as plt\nimport numpy as np\n"
    "from IPython.display import HTML, display",
    'print("accuracy 88.31 ± 0.62 %")\nprint("loss -0.4931, lr 1e-06, count 1,234")',
    "print(np.array([[1.25, -2.5], [9.875, 0.0]]))\nfloat('nan'), float('-inf')",
    'rows = [("conv1", 0.512, 3), ("fc2", -0.034, 12)]\n'
    'cells = "".join(f"<tr><td>{n}</td><td>{v:.3f}</td><td>{k}</td></tr>" for n, v, k in rows)\n'
    'HTML(f"<table>{cells}</table>")',
    'print("before")\nraise ValueError("bits must be in [1, 16], got 17")',
    "x = np.linspace(0, 1, 9)\n"
    "fig, ax = plt.subplots()\n"
    'ax.plot(x, x**2, "o-", label="square")\n'
    'ax.plot(x, x, "--", label="line")\n'
    'ax.set(title="Two curves", xlabel="x", ylabel="y")\n'
    "ax.legend();",
    "fig, ax = plt.subplots()\nax.imshow(np.arange(100).reshape(10, 10));",
    'display("first", "second")\nprint("W4A4 int8 1.2.3")',
    'print("rate 0.91, loss 0.44")',
)


def unexecuted() -> nbformat.NotebookNode:
    """Return the notebook without outputs."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(CELLS)
    ]
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# A specimen", id="title"))
    notebook.cells[6].metadata["tags"] = ["raises-exception"]
    notebook.cells[10].metadata |= {"tolerance": {"rate": 0.03}, "reason": "trained"}
    return notebook


@cache
def _executed_json() -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "specimen.ipynb"
        nbformat.write(unexecuted(), path)
        subprocess.run([sys.executable, "-m", "book_tools.refresh", path], check=True)
        return path.read_text(encoding="utf-8")


def executed() -> nbformat.NotebookNode:
    """Return a fresh copy of the notebook with the outputs of a real run."""
    return nbformat.reads(_executed_json(), as_version=4)
