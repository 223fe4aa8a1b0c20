"""What builds and tests the book."""

import sys

# jsonschema, which nbformat imports, compiles a grammar of web addresses if this package is there.
# It takes 1.7 s in each process that reads a notebook, and no notebook needs it.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
