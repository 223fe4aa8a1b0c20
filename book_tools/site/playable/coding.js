/* Chapter 19: the bytes of LeNet-300-100, pruned, with shared values, and coded. */
{
/* The two rarest groups of symbols become one, and each of their symbols needs a bit more. */
const codeLengths = (counts) => {
  const lengths = counts.map(() => 0);
  let groups = counts.map((n, i) => ({ n, i, symbols: [i] })).filter(({ n }) => n > 0);
  if (groups.length === 1) lengths[groups[0].i] = 1;
  while (groups.length > 1) {
    const [a, b, ...others] = groups.sort((a, b) => a.n - b.n || a.i - b.i);
    const symbols = [...a.symbols, ...b.symbols];
    for (const symbol of symbols) lengths[symbol] += 1;
    groups = [...others, { n: a.n + b.n, i: b.i, symbols }];
  }
  return Math.max(...lengths) <= 15 ? lengths : codeLengths(counts.map((n) => Math.ceil(n / 2)));
};
const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);
const huffman = (counts) => Math.ceil(sum(codeLengths(counts).map((length, i) => length * counts[i])) / 8);
const numberBytes = (n) => (n < 128 ? 1 : 1 + numberBytes(n >> 7));

/* A layer with gaps of b bits: ⌊zeros / 2^b⌋ fillers and a gap of zeros mod 2^b for each weight. */
const withGaps = ({ zeros: [runs, times], codes }, b, coding) => {
  const gaps = Array(2 ** b).fill(0);
  let fillers = 0;
  runs.forEach((zeros, i) => {
    gaps[zeros % 2 ** b] += times[i];
    fillers += Math.floor(zeros / 2 ** b) * times[i];
  });
  gaps[2 ** b - 1] += fillers;
  const symbols = [fillers, ...codes]; // the first code is that of fillers
  const entries = sum(symbols);
  const head = 2 + numberBytes(entries) + 4 * codes.length; // and the codebook
  if (coding === "fixed lengths") {
    const bits = Math.ceil(Math.log2(symbols.length));
    const positions = (entries * b) / 8;
    const values = Math.ceil((entries * (b + bits)) / 8) - positions;
    return { b, entries, positions, values, tables: head };
  }
  const [positions, values] = [huffman(gaps), huffman(symbols)];
  const lengths = Math.ceil(gaps.length / 2) + Math.ceil(symbols.length / 2); // half a byte each
  const tables = head + lengths + numberBytes(positions) + numberBytes(values);
  return { b, entries, positions, values, tables };
};
const all = ({ positions, values, tables }) => positions + values + tables;
const PARTS = ["positions", "values", "the rest"];

PLAYABLE["fig-coding-parts"] = {
  ask: "Remove more weights: which part shrinks faster? And what do longer gaps cost, with fixed lengths and with Huffman’s codes?",
  controls: [
    { name: "sparsity", label: "Zeros", value: 92, min: 80, max: 98, step: 3, unit: " %" },
    { name: "size", label: "Shared values of a layer", value: "32", options: ["8", "16", "32"] },
    { name: "gap", label: "Bits of a gap", value: "the best of 1 to 8", options: ["the best of 1 to 8", "3", "4", "5", "6", "7", "8"] },
    { name: "coding", label: "Codes", value: "Huffman’s", options: ["Huffman’s", "fixed lengths"] },
  ],
  compute({ sparsity, size, gap, coding }, { layers, biases, dense }) {
    const widths = Number(gap) ? [Number(gap)] : [1, 2, 3, 4, 5, 6, 7, 8];
    const found = Object.entries(layers).map(([layer, by]) => {
      const { zeros, codes } = by[sparsity];
      const ways = widths.map((b) => withGaps({ zeros, codes: codes[size] }, b, coding));
      return { layer, ...ways.reduce((least, way) => (all(way) < all(least) ? way : least)) };
    });
    const rest = sum(biases.map((n) => 1 + 4 * n)) + 12; // in float32, and header and checksum
    const total = sum(found.map(all)) + rest;
    const [positions, values] = ["positions", "values"].map((part) => sum(found.map((one) => one[part])));
    const kept = sum(found.map(({ layer }) => sum(layers[layer][sparsity].codes[size])));
    const rows = found.flatMap((one) => PARTS.map((part, i) => ({
      layer: one.layer, part, rank: i, bytes: [one.positions, one.values, one.tables][i],
    })));
    return {
      numbers: {
        Positions: [positions, 0, "bytes"],
        Values: [values, 0, "bytes"],
        Together: [total, 0, "bytes"],
        "Smaller than float32": [dense / total, 1, "times"],
        "Bits of a kept weight": [(8 * (positions + values)) / kept, 2],
        Fillers: [sum(found.map((one) => one.entries)) - kept, 0],
      },
      rows: { bars: [...rows, { layer: "biases, header", part: PARTS[2], rank: 2, bytes: rest }] },
    };
  },
  spec: (width) => ({
    width: width - 130,
    height: 150,
    data: { name: "bars" },
    mark: "bar",
    encoding: {
      y: { field: "layer", type: "nominal", sort: null, title: null },
      x: { field: "bytes", type: "quantitative", scale: { domain: [0, 70000] }, axis: { tickCount: 4 } },
      color: {
        field: "part", type: "nominal", scale: { domain: PARTS, range: ["#0072B2", "#E69F00", "#CC79A7"] },
        legend: { columns: width < 400 ? 2 : 3 },
      },
      order: { field: "rank", type: "quantitative" },
    },
  }),
};
}
