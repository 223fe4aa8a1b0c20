/* What a file does not hold: the layers of each architecture, and what they compute. Shapes of
   parameters stand in the order of the file; options of a convolution are pad, stride, groups. */
const times = (n, make) => Array.from({ length: n }, (_, i) => make(i));
const sum = (values) => values.reduce((a, b) => a + b, 0);
const convolve = (...shape) => ({ does: "convolve", shapes: [shape, [shape[0]]] });
const [rectify, pool, average] = ["rectify", "pool", "average"].map((does) => ({ does }));

/** The number of an architecture → its layers, from its widths. 3: the package's Kilobyte. */
const ARCHITECTURES = {
  3: (a, b, c, d) => [
    ...[convolve(a, 1, 3, 3), rectify, pool],
    ...[convolve(b, a, 3, 3), rectify, convolve(c, b, 3, 3), rectify, pool],
    ...[convolve(d, c, 3, 3), rectify, average, convolve(10, d, 1, 1)],
  ],
};

/** Squares of so many places joined to one each; an odd last row or column is left out. */
function joined({ channels, size, values }, side, join) {
  const left = Math.floor(size / side);
  return { channels, size: left, values: new Float32Array(channels * left ** 2).map((_, i) => {
    const row = Math.floor(i / left ** 2) * size + side * (Math.floor(i / left) % left);
    const at = row * size + side * (i % left);
    return join(times(side ** 2, (k) => values[at + Math.floor(k / side) * size + (k % side)]));
  }) };
}

/** Each takes channels of size × size values, one channel after the other, and returns such. */
const OPERATIONS = {
  convolve(x, { shapes, pad = 0, stride = 1, groups = 1 }, weight, bias) {
    const [channels, inputs, window] = shapes[0];
    const size = Math.floor((x.size + 2 * pad - window) / stride) + 1;
    const values = new Float32Array(channels * size ** 2).map((_, place) => {
      const channel = Math.floor(place / size ** 2);
      const corner = [Math.floor(place / size) % size, place % size];
      const [top, left] = corner.map((v) => v * stride - pad);
      const first = Math.floor((channel * groups) / channels) * inputs;
      let [at, sum] = [channel * inputs * window ** 2, bias ? bias[channel] : 0];
      for (let input = first; input < first + inputs; input++)
        for (let row = top; row < top + window; row++)
          for (let column = left; column < left + window; column++, at++)
            if (row >= 0 && row < x.size && column >= 0 && column < x.size)
              sum += weight[at] * x.values[(input * x.size + row) * x.size + column];
      return sum;
    });
    return { channels, size, values };
  },
  rectify: (x) => ({ ...x, values: x.values.map((v) => Math.max(v, 0)) }),
  pool: (x) => joined(x, 2, (square) => Math.max(...square)),
  average: (x) => joined(x, x.size, (all) => sum(all) / all.length),
};

/** The layers of a file with their parameters, and its tables; an Error if it is not such a file. */
function readNetwork(bytes) {
  const [end, architecture] = [checkedEnd(bytes), ARCHITECTURES[bytes[4]]];
  if (!architecture) throw Error(`the page does not know architecture ${bytes[4]}`);
  const start = 5 + architecture.length;
  const widths = [...bytes.subarray(5, start)];
  if (start > end || widths.some((n) => n < 1 || n > 127)) throw Error("widths must be 1 to 127");
  const layers = architecture(...widths);
  const table = (layer, shape) => {
    const [rows, what] = shape.length > 1 ? [shape[0], "weights"] : [1, "biases"];
    const columns = shape.reduce((a, b) => a * b) / rows;
    return { rows, columns, label: `layer ${layer}, ${shape.join(" × ")} ${what}` };
  };
  const shaped = layers.filter((layer) => layer.shapes);
  const asked = shaped.flatMap(({ shapes }, i) => shapes.map((shape) => table(i + 1, shape)));
  const decoder = new Decoder(bytes.subarray(0, end), start);
  const tables = readTables(decoder, asked);
  if (decoder.at < end) throw Error("bytes are left after the last table");
  tables.at(-1).end = end; // its last byte is filled up
  const left = tables.map(({ values }) => values);
  const own = ({ shapes = [] }) => shapes.map(() => left.shift());
  const ready = layers.map((layer) => ({ ...layer, parameters: own(layer) }));
  return { start, end, tables, layers: ready };
}

/** The ten logits of a picture: 28 × 28 grey values, 0 black to 1 white. */
function logits({ layers }, picture) {
  const x = { channels: 1, size: 28, values: Float32Array.from(picture) };
  return layers.reduce((x, one) => OPERATIONS[one.does](x, one, ...one.parameters), x).values;
}
