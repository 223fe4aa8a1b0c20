/* Chapter 03: range and bits of five grids; the zero point, and what rounding and clipping cost. */
PLAYABLE["fig-affine-grids"] = {
  ask: "Values spread from −1 to 2 as a bell curve. Which range gives the highest SQNR with 3 bits, and which with 6?",
  controls: [
    { name: "grid", label: "Grid", value: "asymmetric",
      options: ["min–max", "asymmetric", "symmetric, narrow", "symmetric, signed", "symmetric, torch"] },
    { name: "bits", label: "Bits b", value: 3, min: 3, max: 6, step: 1 },
    { name: "low", label: "Range from", value: -1, min: -2, max: -0.1, step: 0.1, digits: 1 },
    { name: "high", label: "Range to", value: 2, min: 0.1, max: 2, step: 0.1, digits: 1 },
  ],
  compute({ grid, bits, low, high }) {
    const last = 2 ** bits - 1;
    const largest = 2 ** (bits - 1) - 1;
    const step = (high - low) / last;
    const reach = Math.max(-low, high);
    const grids = {
      "min–max": { first: 0, last, s: step, z: -low / step },
      asymmetric: { first: 0, last, s: step, z: Math.round(-low / step) },
      "symmetric, narrow": { first: -largest, last: largest, s: reach / largest, z: 0 },
      "symmetric, signed": { first: -largest - 1, last: largest, s: reach / largest, z: 0 },
      "symmetric, torch": { first: -largest - 1, last: largest, s: (2 * reach) / last, z: 0 },
    };
    const restore = (x, { first, last, s, z }) => {
      const code = Math.round(x / s + z);
      const clipped = code < first || code > last;
      return { restored: s * (Math.min(Math.max(code, first), last) - z), clipped };
    };
    const values = Array.from({ length: 1501 }, (_, i) => {
      const x = -1 + i / 500;
      const { restored, clipped } = restore(x, grids[grid]);
      const many = Math.exp(-2 * (x - 0.5) ** 2);
      return { x, many, error: restored - x, what: clipped ? "clipped" : "rounded", low: x < 0.5 };
    });
    const total = (f) => values.reduce((sum, row) => sum + row.many * f(row), 0);
    const mean = (f) => total(f) / total(() => 1);
    const of = (kind) => (row) => (row.what === kind ? row.error ** 2 : 0);
    const [rounding, clipping] = [mean(of("rounded")), mean(of("clipped"))];
    const levels = Object.entries(grids).flatMap(([name, { first, last, s, z }]) =>
      Array.from({ length: last - first + 1 }, (_, k) => {
        return { name, x: s * (first + k - z), chosen: name === grid };
      }));
    return {
      numbers: {
        "Scale s": [grids[grid].s, 3],
        "Zero point z": [grids[grid].z, 2],
        "0 is restored as": [restore(0, grids[grid]).restored, 3],
        "Values clipped": [100 * mean((row) => row.what === "clipped"), 1, "%"],
        "Noise from clipping": [(100 * clipping) / (rounding + clipping), 1, "%"],
        "SQNR": [10 * Math.log10(mean((row) => row.x ** 2) / (rounding + clipping)), 1, "dB"],
      },
      rows: { values, levels, range: [{ low: -1, high: 2 }], zero: [{ x: 0 }] },
    };
  },
  spec(width) {
    const scale = { domain: [-2.75, 2.25], nice: false, padding: 0 };
    const x = { field: "x", type: "quantitative", title: null, scale, axis: { labels: false } };
    const y = { type: "quantitative", axis: { labels: false, ticks: false } };
    const legend = { columns: width < 300 ? 1 : 2 };
    const color = { field: "what", scale: { domain: ["rounded", "clipped"] }, legend };
    const zero = {
      data: { name: "zero" },
      mark: { type: "rule", strokeDash: [2, 3] },
      encoding: { x: { field: "x", type: "quantitative" } },
    };
    const panel = (height, ...layer) => ({ width: width - 150, height, layer: [...layer, zero] });
    return {
      spacing: 8,
      vconcat: [
        panel(70, {
          data: { name: "values" },
          mark: { type: "bar", width: 1 },
          encoding: { x, y: { ...y, field: "many", title: "how many" }, color },
        }),
        panel(90, {
          data: { name: "values" },
          mark: { type: "line", clip: true },
          encoding: {
            x,
            y: { field: "error", type: "quantitative", scale: { domain: [-1, 1] } },
            color,
            detail: { field: "low" },
          },
        }),
        panel(
          110,
          {
            data: { name: "range" },
            mark: { type: "rect", opacity: 0.12 },
            encoding: { x: { field: "low", type: "quantitative" }, x2: { field: "high" } },
          },
          {
            data: { name: "levels" },
            mark: { type: "tick", thickness: 2, height: 16, opacity: 1 },
            encoding: {
              x: { ...x, title: "x", axis: {} },
              y: { field: "name", type: "nominal", sort: null, title: null },
              color: { condition: { test: "datum.chosen", value: "#0072B2" }, value: "#999" },
            },
          },
        ),
      ],
    };
  },
};
