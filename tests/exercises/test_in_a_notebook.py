"""The same checks in a Jupyter kernel, whose warnings are errors and whose exit() is its own."""

from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

CELLS = (
    "from exercises import check\n"
    "import exercises.limits, exercises.examination, torch\n"
    "from reference_impl.notebook import begin\nbegin(seed=1)",
    "def inverse(codes, low, high, bits):\n"
    "    return low + torch.tensor(codes).float() * (high - low) / (2**bits - 1)\n"
    "check('rounding-inverse', inverse)",
    "def inverse(codes, low, high, bits):\n    exit()\ncheck('rounding-inverse', inverse)",
    "def inverse(codes, low, high, bits):\n"
    "    return {}['two']\n"
    "check('rounding-inverse', inverse)",
    "def inverse(codes, low, high, bits):\n"
    "    while True:\n"
    "        try:\n"
    "            codes = codes + 1\n"
    "        except:\n"
    "            pass\n"
    "exercise = exercises.all_exercises()['rounding-inverse']\n"
    "print(*exercises.examination.examine(exercise, inverse, limit=0.5).lines, sep='\\n')",
    "print('the kernel lives')",
)


def test_warnings_exits_crashes_and_loops_do_not_harm_the_kernel():
    """Oracle: what a kernel prints below each cell, the last one after all others."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    NotebookClient(notebook, timeout=120).execute()
    told = ["".join(o.get("text", "") for o in cell.outputs) for cell in notebook.cells]
    assert "Right." in told[1]
    assert "! It called exit(), line 2 of your cell: exit(): a function gives" in told[2]
    assert "! It raised KeyError: 'two', line 2 of your cell: return {}['two']" in told[3]
    assert "! It was stopped after 0.5 seconds" in told[4]
    assert told[5] == "the kernel lives\n"
