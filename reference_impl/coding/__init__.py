"""Weights in as few bytes as possible: Huffman codes, an arithmetic coder, and a file for them."""

# fmt: off
from reference_impl.coding.huffman import entropy, mean_length, code_lengths, canonical_codes
from reference_impl.coding.huffman_stream import encode, decode
from reference_impl.coding.relative_index import relative_indices, positions
from reference_impl.coding.shared import write_shared, read_shared
from reference_impl.coding.arithmetic import Probability, Coder, Encoder, Decoder
from reference_impl.coding.integers import Integers, code_table, density_class
from reference_impl.coding.steps import steps, from_integers, as_integers
from reference_impl.coding.tables import write_tables, read_tables
from reference_impl.coding.rate import Price, price, price_by_density, rate
from reference_impl.coding.cursor import Cursor, number_bytes
from reference_impl.coding.container import pack, unpack

__all__ = [
    "entropy", "mean_length", "code_lengths", "canonical_codes",  # huffman
    "encode", "decode",  # huffman_stream
    "relative_indices", "positions",  # relative_index
    "write_shared", "read_shared",  # shared
    "Probability", "Coder", "Encoder", "Decoder",  # arithmetic
    "Integers", "code_table", "density_class",  # integers
    "steps", "from_integers", "as_integers",  # steps
    "write_tables", "read_tables",  # tables
    "Price", "price", "price_by_density", "rate",  # rate
    "Cursor", "number_bytes",  # cursor
    "pack", "unpack",  # container
]
# fmt: on
