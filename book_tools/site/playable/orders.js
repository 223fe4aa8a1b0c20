/* Chapter 20: what it gains to swap two neighbours, in all orders of the recorded pipelines. */
{
const PAIRS = [
  "prune before merge", "prune before distil", "prune before quantize",
  "merge before distil", "merge before quantize", "distil before quantize",
];
const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;

/* mean ± t s / √k, where k values have the standard deviation s. */
const interval = (values, t) => {
  const [k, gain] = [values.length, mean(values)];
  const variance = values.reduce((sum, x) => sum + (x - gain) ** 2, 0) / (k - 1);
  const margin = t * Math.sqrt(variance / k);
  const shown = Math.abs(gain) > margin ? "excludes 0" : "tie";
  return { gain, margin, from: gain - margin, to: gain + margin, shown };
};

/* The orders in which A comes directly before B, each with the one that differs in this swap. */
const swaps = (pair, orders) => {
  const [a, b] = pair.split(" before ");
  const place = new Map(orders.map((order, i) => [order.join(), i]));
  return orders.flatMap((order, i) => {
    const at = order.indexOf(a);
    if (order[at + 1] !== b) return [];
    const [first, last] = [order.slice(0, at), order.slice(at + 2)];
    const swapped = place.get([...first, b, a, ...last].join());
    return [{ order: i, swapped, name: [...first, "pair", ...last].join(" → ") }];
  });
};

PLAYABLE["fig-order-gains"] = {
  ask: "Below are the six swaps behind the mean. For which pairs does the better order depend on the other two stages?",
  controls: [
    {
      name: "setting", label: "Network, strength", value: "LeNet-300-100, strong",
      options: ["LeNet-300-100, mild", "LeNet-300-100, strong", "student, mild", "student, strong"],
    },
    { name: "pair", label: "Pair of stages", value: "prune before distil", options: PAIRS },
  ],
  compute({ setting, pair }, { orders, settings, alone, together }) {
    const { right, bytes } = settings[setting]; // for each seed, those of each order
    const gains = (one) => right.map((acc) => (acc[one.order] - acc[one.swapped]) / 100);
    const meanGain = (of) => { // over six swaps for each seed, then over the seeds
      const each = swaps(of, orders).map(gains);
      return interval(right.map((_, seed) => mean(each.map((gain) => gain[seed]))), together);
    };
    const six = swaps(pair, orders);
    const over = (table, which, unit) => mean(table.flatMap((row) => six.map((one) => row[one[which]] / unit)));
    const means = PAIRS.map((name) => ({ name, chosen: name === pair, ...meanGain(name) }));
    const parts = six.map((one) => ({ name: one.name, chosen: true, ...interval(gains(one), alone) }));
    const all = PAIRS.flatMap((name) => swaps(name, orders).map((one) => interval(gains(one), alone)));
    const widest = Math.max(...all.concat(means).map(({ gain, margin }) => Math.abs(gain) + margin));
    const { gain, margin } = means.find(({ chosen }) => chosen);
    return {
      numbers: {
        "Mean gain": [gain, 2, "points"],
        "Its margin, one of 24": [margin, 2, "points"],
        "Right, in this order": [over(right, "order", 100), 2, "%"],
        "Right, swapped": [over(right, "swapped", 100), 2, "%"],
        "Bytes, in this order": [over(bytes, "order", 1), 0],
        "Bytes, swapped": [over(bytes, "swapped", 1), 0],
      },
      rows: { means, parts, ends: [{ at: -widest }, { at: widest }] },
    };
  },
  spec(width) {
    const y = { field: "name", type: "nominal", sort: null, title: null, axis: { labelLimit: 175 } };
    const colour = {
      field: "shown", type: "nominal", scale: { domain: ["excludes 0", "tie"] }, legend: null, // the caption has them
    };
    const panel = (name, title, x) => ({
      width: width - 190,
      height: 108,
      title: { text: title, anchor: "end", fontSize: 13, fontWeight: "normal", dy: 4 },
      layer: [
        { data: { name: "ends" }, mark: { type: "point", opacity: 0 }, encoding: { x: { field: "at", type: "quantitative", title: x } } },
        { data: { values: [{}] }, mark: { type: "rule", color: "#000" }, encoding: { x: { datum: 0, type: "quantitative" } } },
        {
          data: { name },
          encoding: { y, color: colour, opacity: { condition: { test: "datum.chosen", value: 1 }, value: 0.4 } },
          layer: [
            { mark: { type: "rule", strokeWidth: 2 }, encoding: { x: { field: "from", type: "quantitative" }, x2: { field: "to" } } },
            {
              mark: { type: "point", filled: true, size: 70 },
              encoding: { x: { field: "gain", type: "quantitative" }, shape: { ...colour, scale: { domain: ["excludes 0", "tie"], range: ["circle", "square"] } } },
            },
          ],
        },
      ],
    });
    return {
      vconcat: [
        panel("means", "mean gains (simultaneous)", null),
        panel("parts", "swaps of the pair (95 % each)", "gain (points)"),
      ],
    };
  },
};
}
