/* Chapter 02: bits and range of min–max rounding; its staircase, error and SQNR. */
PLAYABLE["fig-rounding-staircase"] = {
  ask: "Move both ends of the range. Where is the measured SQNR highest? Is that the range from the smallest value to the largest?",
  controls: [
    { name: "bits", label: "Bits b", value: 3, min: 1, max: 8, step: 1 },
    { name: "low", label: "Range from", value: 1.2, min: 0.2, max: 2.2, step: 0.1, digits: 1 },
    { name: "high", label: "Range to", value: 4.5, min: 3.5, max: 5.5, step: 0.1, digits: 1 },
  ],
  compute({ bits, low, high }) {
    const largest = 2 ** bits - 1;
    const step = (high - low) / largest;
    const stairs = Array.from({ length: 1001 }, (_, i) => {
      const x = 1.2 + (3.3 * i) / 1000;
      const code = Math.min(Math.max(Math.round((x - low) / step), 0), largest);
      const restored = low + step * code;
      return { x, restored, error: restored - x };
    });
    const sum = (f) => stairs.reduce((total, row) => total + f(row), 0);
    const [power, noise] = [sum((r) => r.x ** 2), sum((r) => r.error ** 2)];
    const levels = new Set(stairs.map((r) => r.restored)).size;
    return {
      numbers: {
        "Step s": [step, 3],
        "Largest error": [Math.max(...stairs.map((r) => Math.abs(r.error))), 3],
        "Levels used": [levels, 0],
        "SQNR, predicted": [10 * Math.log10(power / (stairs.length * step ** 2 / 12)), 1, "dB"],
        "SQNR, measured": [10 * Math.log10(power / noise), 1, "dB"],
      },
      rows: { stairs, bound: [{ at: step / 2 }, { at: -step / 2 }] },
    };
  },
  spec: (width) => ({
    vconcat: [
      {
        width: width - 70,
        height: 190,
        data: { name: "stairs" },
        encoding: { x: { field: "x", type: "quantitative", title: null, scale: { zero: false } } },
        layer: [
          {
            mark: { type: "line", strokeDash: [2, 3], color: "#000" },
            encoding: { y: { field: "x", type: "quantitative" } },
          },
          {
            mark: { type: "line", strokeWidth: 2 },
            encoding: {
              y: { field: "restored", type: "quantitative", title: "restored value", scale: { zero: false } },
            },
          },
        ],
      },
      {
        width: width - 70,
        height: 130,
        layer: [
          {
            data: { name: "bound" },
            mark: { type: "rule", strokeDash: [2, 3], color: "#000" },
            encoding: { y: { field: "at", type: "quantitative" } },
          },
          {
            data: { name: "stairs" },
            mark: { type: "line", strokeWidth: 2 },
            encoding: {
              x: { field: "x", type: "quantitative", title: "X", scale: { zero: false } },
              y: { field: "error", type: "quantitative", title: "error, and ±s/2" },
            },
          },
        ],
      },
    ],
  }),
};
