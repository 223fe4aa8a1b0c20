/* Chapter 13: one weight w and a threshold τ; what the soft and the hard threshold minimize. */
{
const soft = (w, tau) => Math.sign(w) * Math.max(Math.abs(w) - tau, 0);
const hard = (w, tau) => (Math.abs(w) > tau ? w : 0);
const NAMES = ["soft", "hard"];
const line = Array.from({ length: 601 }, (_, i) => -3 + i / 100);

PLAYABLE["fig-sparse-thresholds"] = {
  ask: "Below is what each threshold minimizes. How small must the weight be for the minimum to lie exactly at 0?",
  controls: [
    { name: "weight", label: "Weight w", value: 0.7, min: -3, max: 3, step: 0.05, digits: 2 },
    { name: "tau", label: "Threshold τ", value: 1, min: 0, max: 2, step: 0.05, digits: 2 },
  ],
  compute({ weight, tau }) {
    const half = (x) => (x - weight) ** 2 / 2;
    const cost = { // of ŵ = x in place of the weight
      soft: (x) => half(x) + tau * Math.abs(x),
      hard: (x) => half(x) + (x === 0 ? 0 : tau ** 2 / 2),
    };
    const after = { soft: soft(weight, tau), hard: hard(weight, tau) };
    const curves = line.flatMap((w) => [
      { w, after: soft(w, tau), name: "soft", part: "soft" },
      { w, after: hard(w, tau), name: "hard", part: `hard ${Math.abs(w) > tau && Math.sign(w)}` },
    ]);
    const costs = NAMES.flatMap((name) => line
      .filter((x) => name === "soft" || Math.abs(x) > 0.005)
      .map((x) => ({ x, cost: cost[name](x), name })));
    const points = [...NAMES].reverse().map((name) => ({
      w: weight, name, after: after[name], least: cost[name](after[name]),
    }));
    return {
      numbers: {
        "Weight after, soft": [after.soft, 2],
        "Weight after, hard": [after.hard, 2],
        "J at its minimum": [cost.soft(after.soft), 3],
        "Slope of J left of 0": [-tau - weight, 2],
        "Slope of J right of 0": [tau - weight, 2],
      },
      rows: { curves, costs, points, zone: [{ from: -tau, to: tau }] },
    };
  },
  spec: (width) => {
    const colour = { field: "name", type: "nominal", scale: { domain: NAMES } };
    const shape = { ...colour, scale: { domain: NAMES, range: ["circle", "square"] } };
    const axis = (field, title, domain) => ({ field, title, type: "quantitative", scale: { domain, clamp: false } });
    const both = { width: width - 70, height: 150 };
    const lines = { type: "line", strokeWidth: 2, clip: true };
    const dots = { type: "point", filled: true, opacity: 1, clip: true };
    const size = { condition: { test: "datum.name === 'soft'", value: 50 }, value: 150 };
    return {
      vconcat: [
        {
          ...both,
          encoding: { x: axis("w", "weight before", [-3, 3]), y: axis("after", "weight after", [-3, 3]) },
          layer: [
            {
              data: { name: "zone" }, mark: { type: "rect", color: "#E69F00", opacity: 0.2 },
              encoding: { x: axis("from", "weight before", [-3, 3]), x2: { field: "to" }, y: { value: 0 }, y2: { value: 150 } },
            },
            { data: { name: "curves" }, mark: { ...lines, color: "#777", strokeDash: [2, 3], strokeWidth: 1 }, encoding: { y: axis("w", "weight after", [-3, 3]) } },
            { data: { name: "curves" }, mark: lines, encoding: { color: colour, detail: { field: "part" }, strokeDash: { ...colour, scale: { domain: NAMES, range: [[1, 0], [6, 4]] } } } },
            { data: { name: "points" }, mark: dots, encoding: { color: colour, shape, size } },
          ],
        },
        {
          ...both,
          encoding: { x: axis("x", "weight after, ŵ", [-3, 3]), y: axis("cost", "cost of ŵ", [0, 6]) },
          layer: [
            { data: { name: "costs" }, mark: lines, encoding: { color: colour, strokeDash: { ...colour, scale: { domain: NAMES, range: [[1, 0], [6, 4]] } } } },
            { data: { name: "points" }, mark: dots, encoding: { color: colour, shape, size, x: axis("after"), y: axis("least") } },
          ],
        },
      ],
    };
  },
};
}
