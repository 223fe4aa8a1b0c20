/* Chapter 05: levels of a codebook under a Gaussian, and Lloyd's iteration towards the least error. */
PLAYABLE["fig-codebook-gaussian"] = {
  ask: "How many of Lloyd's steps does each start need to come close to the least error? What does one more level gain?",
  controls: [
    { name: "size", label: "Levels K", value: 8, min: 2, max: 16, step: 1 },
    { name: "steps", label: "Lloyd's steps", value: 0, min: 0, max: 60, step: 1 },
    { name: "start", label: "Start", value: "equal use",
      options: ["equal use", "even, −3 to 3", "even, 0 to 3"] },
  ],
  compute({ size, steps, start }) {
    const density = (x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    const below = (x) => { // Φ(x) = ½ + density(x) (x + x³/3 + x⁵/(3·5) + …)
      if (Math.abs(x) > 8) return x > 0 ? 1 : 0;
      let sum = 0;
      for (let term = x, k = 3; sum + term !== sum; term *= (x * x) / k, k += 2) sum += term;
      return 0.5 + density(x) * sum;
    };
    const quantile = (share) => {
      let [low, high] = [-8, 8];
      for (let i = 0; i < 60; i++) {
        const middle = (low + high) / 2;
        [low, high] = below(middle) < share ? [middle, high] : [low, middle];
      }
      return low;
    };
    const cells = (thresholds) => {
      const edges = [-Infinity, ...thresholds, Infinity].map((x) => [below(x), density(x)]);
      return edges.slice(1).map(([share, height], k) => {
        return { mass: share - edges[k][0], moment: edges[k][1] - height };
      });
    };
    const means = (thresholds) => cells(thresholds).map(({ mass, moment }) => moment / mass);
    const middles = (levels) => levels.slice(1).map((level, k) => (levels[k] + level) / 2);
    const error = ({ levels, thresholds }) => cells(thresholds).reduce(
      (sum, { mass, moment }, k) => sum - 2 * levels[k] * moment + levels[k] ** 2 * mass, 1);
    const step = ({ thresholds }) => {
      const levels = means(thresholds);
      return { levels, thresholds: middles(levels) };
    };
    const range = (count, f) => Array.from({ length: count }, (_, k) => f(k));
    const even = (low) => range(size, (k) => low + ((3 - low) * k) / (size - 1));
    const equal = range(size - 1, (k) => quantile((k + 1) / size));

    let codebook = { levels: means(equal), thresholds: equal };
    let least = codebook;
    for (let before = 2; before - error(least) > 1e-10; ) [before, least] = [error(least), step(least)];
    const low = { "even, −3 to 3": -3, "even, 0 to 3": 0 }[start];
    if (low !== undefined) codebook = { levels: even(low), thresholds: middles(even(low)) };
    for (let n = 0; n < steps; n++) codebook = step(codebook);

    const [mine, best] = [codebook, least].map(error);
    const rows = (what) => [codebook, least].flatMap((one, i) =>
      one[what].map((x) => ({ x, i, row: ["your codebook", "least error"][i], high: density(x) })));
    const line = [codebook, least].flatMap(({ levels, thresholds }, i) => range(641, (n) => {
      const x = -3.2 + n / 100;
      const level = levels[thresholds.filter((threshold) => threshold < x).length];
      return { x, i, many: density(x), error: ((x - level) ** 2 * density(x)) / best };
    }));
    return {
      numbers: {
        "Mean squared error": [mine, 4],
        "Least possible": [best, 4],
        "It is smaller by": [100 * (1 - best / mine), 1, "%"],
        "SQNR": [-10 * Math.log10(mine), 1, "dB"],
        "SQNR, least error": [-10 * Math.log10(best), 1, "dB"],
        "Last level serves": [100 * cells(codebook.thresholds).at(-1).mass, 1, "%"],
      },
      rows: { line, levels: rows("levels"), thresholds: rows("thresholds") },
    };
  },
  spec(width) {
    const scale = { domain: [-3.2, 3.2], nice: false, padding: 0 };
    const x = { field: "x", type: "quantitative", title: null, scale, axis: { labels: false } };
    const y = { type: "quantitative", axis: { labels: false, ticks: false, grid: false } };
    const row = { field: "row", type: "nominal", sort: null, title: null };
    const color = { field: "i", type: "nominal", legend: null };
    const first = [{ filter: "datum.i === 0" }];
    const panel = (height, ...layer) => ({ width: width - 125, height, layer });
    return {
      spacing: 6,
      vconcat: [
        panel(
          110,
          {
            data: { name: "line" },
            transform: first,
            mark: { type: "area", opacity: 0.3 },
            encoding: { x, y: { ...y, field: "many", title: "how many" } },
          },
          {
            data: { name: "thresholds" },
            transform: first,
            mark: { type: "rule", color: "#666" },
            encoding: { x, y: { ...y, field: "high" } },
          },
        ),
        panel(
          100,
          {
            data: { name: "line" },
            transform: first,
            mark: { type: "area", opacity: 0.3, clip: true },
            encoding: {
              x,
              y: { ...y, field: "error", title: "squared error", scale: { domain: [0, 1.6] } },
            },
          },
          {
            data: { name: "line" },
            mark: { type: "line", strokeWidth: 1.2, clip: true },
            encoding: { x, y: { ...y, field: "error" }, color },
          },
        ),
        panel(
          70,
          {
            data: { name: "thresholds" },
            mark: { type: "tick", color: "#666", height: 20, opacity: 1, clip: true },
            encoding: { x: { ...x, title: "number", axis: {} }, y: row },
          },
          {
            data: { name: "levels" },
            mark: { type: "circle", size: 60, opacity: 1, clip: true },
            encoding: { x: { ...x, title: "number", axis: {} }, y: row, color },
          },
        ),
      ],
    };
  },
};
