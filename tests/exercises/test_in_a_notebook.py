"""The same checks in a Jupyter kernel, whose warnings are errors and whose exit() is its own."""

import subprocess
import sys

from jupyter_client.manager import start_new_kernel

from book_tools.files import ROOT

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
    "def inverse(codes, low, high, bits):\n"
    "    import sys\n"
    "    sys.stdout.close()\n"
    "check('rounding-inverse', inverse)",
    "print('the kernel lives')",
)


def test_warnings_exits_crashes_and_loops_do_not_harm_the_kernel():
    """Oracle: what a kernel prints below each cell, the last one after all others."""
    told = []
    manager, client = start_new_kernel(startup_timeout=120)
    try:
        for source in CELLS:
            printed = []
            client.execute_interactive(source, timeout=120, output_hook=printed.append)
            told.append("".join(message["content"].get("text", "") for message in printed))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "Right." in told[1]
    assert "! It called exit(), line 2 of your cell: exit(): a function gives" in told[2]
    assert "! It raised KeyError: 'two', line 2 of your cell: return {}['two']" in told[3]
    assert "! It was stopped after 0.5 seconds" in told[4]
    assert "! " not in told[5]
    assert "must return a tensor; it returned a NoneType" in told[5]
    assert told[6] == "the kernel lives\n"


def test_a_script_may_check_too():
    """Oracle: `begin` loads a shell of IPython's that has no exit of its own."""
    script = (
        "from reference_impl.notebook import begin\nbegin(seed=1)\n"
        "from exercises import check\ncheck('rounding-hand', [0, 1, 5, 7])"
    )
    told = subprocess.check_output([sys.executable, "-c", script], text=True, cwd=ROOT)
    assert told.splitlines()[-1] == "Right."
