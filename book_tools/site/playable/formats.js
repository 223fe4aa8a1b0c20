/* Chapter 06: the numbers of a floating-point format, beside others with as many bits. */
{
/* Codes that stand for no number: the last of E4M3, those of the last exponent field of E5M2. */
const RESERVED = { E4M3: 1, E5M2: 4 };
const magnitudes = (name, exponentBits, mantissaBits) => {
  const bias = 2 ** (exponentBits - 1) - 1;
  const codes = 2 ** (exponentBits + mantissaBits) - (RESERVED[name] ?? 0);
  return Array.from({ length: codes }, (_, code) => {
    const [expo, mant] = [Math.floor(code / 2 ** mantissaBits), code % 2 ** mantissaBits];
    const part = mant / 2 ** mantissaBits;
    return expo > 0 ? 2 ** (expo - bias) * (1 + part) : 2 ** (1 - bias) * part;
  });
};

/* Between neighbours a < b the largest relative error is half-way: (b − a)/2 over (a + b)/2. */
const errors = (values) => values.slice(1).flatMap((b, i) => {
  const [a, error] = [values[i], (b - values[i]) / (b + values[i])];
  return [{ size: Math.max(a, 1e-4), error }, { size: b, error }];
}).filter(({ size }) => size >= 1e-4);
const KINDS = ["int", "float", "NF4", "powers"];

PLAYABLE["fig-format-lines"] = {
  ask: "Give E2M1 one more bit, for the exponent or for the mantissa. Which of the two reaches closer to zero, and which lowers the relative error?",
  controls: [
    { name: "exponent", label: "Exponent bits", value: 2, min: 2, max: 5, step: 1 },
    { name: "mantissa", label: "Mantissa bits", value: 1, min: 1, max: 3, step: 1 },
  ],
  compute({ exponent, mantissa }, { nf4 }) {
    const [name, bits] = [`E${exponent}M${mantissa}`, 1 + exponent + mantissa];
    const numbers = magnitudes(name, exponent, mantissa);
    const half = 2 ** (bits - 1); // codes without a sign
    const powers = Array.from({ length: half - 1 }, (_, i) => 2 ** -i);
    const formats = {
      int: [`int${bits}`, Array.from({ length: half }, (_, k) => k)],
      float: [name, numbers],
      NF4: ["NF4", nf4],
      powers: ["powers of 2", [0, ...powers.reverse()]],
    };
    const drawn = KINDS.map((kind) => {
      const [label, values] = formats[kind];
      const places = values.map((v) => v / values.at(-1));
      return { kind, label, values, places };
    });
    const small = numbers.filter((v) => v > 0 && v < numbers.at(-1) / 10).length;
    const digits = (x) => (String(+x.toPrecision(3)).split(".")[1] ?? "").length;
    const normal = 2 ** (2 - 2 ** (exponent - 1)); // 2^(1 − bias)
    return {
      numbers: {
        "Bits with the sign": [bits, 0],
        "Largest number": [numbers.at(-1), digits(numbers.at(-1))],
        "Smallest normal": [normal, digits(normal)],
        "Smallest above 0": [numbers[1], digits(numbers[1])],
        "Relative error, at most": [100 / 2 ** (mantissa + 1), 2, "%"],
        "Below a tenth of the largest": [(100 * small) / (numbers.length - 1), 0, "%"],
      },
      rows: {
        ticks: drawn.flatMap(({ kind, label, values, places }, row) => places.map((place, i) => {
          const text = `${+values[i].toFixed(2)}`; // where there is room for it
          const room = i === 0 || place - places[i - 1] > 0.025 * text.length;
          return { kind, label, row, place, text: room ? text : "" };
        })),
        steps: drawn.flatMap(({ kind, places }) => errors(places).map((row) => ({ kind, ...row }))),
      },
    };
  },
  spec: (width) => {
    const color = { field: "kind", type: "nominal", scale: { domain: KINDS }, legend: null };
    const size = { field: "size", type: "quantitative", title: "size / largest size" };
    const wide = { width: width - 100 };
    return {
      vconcat: [
        {
          ...wide, height: 140, data: { name: "ticks" },
          encoding: {
            x: { field: "place", type: "quantitative", title: "value / largest value", scale: { domain: [0, 1] } },
            y: { field: "label", type: "nominal", sort: { field: "row", op: "min" }, title: null, axis: { labelLimit: 90, labelPadding: 10, ticks: false, domain: false } },
            color,
          },
          layer: [
            { mark: { type: "tick", thickness: 2, height: 16, opacity: 1 } },
            { mark: { type: "text", dy: -13, fontSize: 10 }, encoding: { text: { field: "text" }, color: { value: "#000" } } },
          ],
        },
        {
          ...wide, height: 150,
          layer: [
            {
              data: { name: "steps" }, mark: { type: "line", strokeWidth: 2, clip: true },
              encoding: {
                x: { ...size, scale: { type: "log", domain: [1e-4, 1] }, axis: { format: "~g", values: [1e-4, 1e-3, 1e-2, 1e-1, 1] } },
                y: { field: "error", type: "quantitative", title: "largest relative error", scale: { type: "log", domain: [0.001, 1] }, axis: { values: [0.001, 0.01, 0.1, 1] } },
                color, order: { field: "size" },
              },
            },
          ],
        },
      ],
    };
  },
};
}
