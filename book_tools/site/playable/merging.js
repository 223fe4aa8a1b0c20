/* Chapter 17: groups of similar neurons, and what it costs that one stands for each of them. */
{
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const triangle = (numbers, unit, n) => {
  const at = (i, j) => numbers[(i * (i - 1)) / 2 + j] / unit;
  const ends = [...Array(n).keys()];
  return ends.map((i) => ends.map((j) => (i === j ? 1 : at(Math.max(i, j), Math.min(i, j)))));
};

/* The two most similar groups become one, again and again; `linked` makes a cosine of two groups
 * from those of their parts. Returns the groups at the threshold, and all neurons in this order. */
const joined = (cosine, threshold, linked) => {
  const between = cosine.map((row) => [...row]);
  const groups = new Map(cosine.map((_, i) => [i, [i]]));
  let found;
  while (groups.size > 1) {
    let [first, second, most] = [0, 0, -2];
    for (const i of groups.keys()) {
      for (const j of groups.keys()) {
        if (i < j && between[i][j] > most) [first, second, most] = [i, j, between[i][j]];
      }
    }
    if (most < threshold) found ??= [...groups.values()];
    groups.set(first, groups.get(first).concat(groups.get(second)));
    groups.delete(second);
    for (const i of groups.keys()) {
      between[i][first] = between[first][i] = linked(between[i][first], between[i][second]);
    }
  }
  const [order] = groups.values();
  return { groups: found ?? [order], order };
};

const kappa = (cosine) => {
  const theta = Math.acos(Math.min(Math.max(cosine, -1), 1));
  return (Math.sin(theta) + (Math.PI - theta) * cosine) / Math.PI;
};
const OVER_NORM = {
  "best on average": kappa,
  projection: (cosine) => Math.max(cosine, 0),
  "ratio of norms": () => 1,
};

/* Places that follow each other, as the beginning and the end of each run. */
const runs = (places) => {
  const found = [];
  for (const at of places.sort((a, b) => a - b)) {
    if (found.at(-1)?.to === at) found.at(-1).to += 1;
    else found.push({ from: at, to: at + 1 });
  }
  return found;
};

/* The mean square by which the next layer's sums change if kept neurons stand for others. */
const change = (stands, factors, columns, products) => columns.reduce((sum, column) => {
  const v = stands.map(() => 0); // the sum changes by v · h
  stands.forEach((i, j) => {
    v[i] += factors[j] * column[j];
    v[j] -= column[j];
  });
  return sum + v.reduce((s, a, i) => s + a * v.reduce((t, b, j) => t + b * products[i][j], 0), 0);
}, 0);

/* The matrix as a picture, its pairs in an order: blue for −1, white for 0, red for 1. */
const [BLUE, RED, SIDE] = [[33, 102, 172], [178, 24, 43], 4]; // a pair has 4 × 4 pixels
const picture = (cosine, order) => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE * order.length;
  const context = canvas.getContext("2d");
  order.forEach((i, y) => order.forEach((j, x) => {
    const share = Math.abs(cosine[i][j]);
    const colour = (cosine[i][j] > 0 ? RED : BLUE).map((c) => 255 + share * (c - 255));
    context.fillStyle = `rgb(${colour.join(" ")})`;
    context.fillRect(SIDE * x, SIDE * y, SIDE, SIDE);
  }));
  return canvas.toDataURL();
};

PLAYABLE["fig-merge-matrix"] = {
  ask: "Raise the threshold: when does the group of silent neurons fall apart? Compare both kinds of groups.",
  controls: [
    { name: "threshold", label: "Merge from a cosine of", value: 0.17, min: 0, max: 0.75, step: 0.01, digits: 2 },
    { name: "linkage", label: "Groups by", value: "complete linkage",
      options: ["complete linkage", "connected components"] },
    { name: "factor", label: "Factor", value: "best on average", options: Object.keys(OVER_NORM) },
  ],
  compute({ threshold, linkage, factor }, { cosines, norms, roots, shared, columns, spread, silent }) {
    const n = norms.length;
    const cosine = triangle(new Int16Array(bytes(cosines).buffer), 32700, n);
    const products = triangle(bytes(shared), 255, n).map((row, i) => row.map((s, j) => s * roots[i] * roots[j]));
    const linked = linkage === "complete linkage" ? Math.min : Math.max;
    const { groups, order } = joined(cosine, threshold, linked);

    const stands = []; // the neuron with the largest norm stands for its group
    for (const group of groups) {
      const kept = group.reduce((i, j) => (norms[j] > norms[i] ? j : i));
      for (const j of group) stands[j] = kept;
    }
    const factors = stands.map((i, j) => (i === j ? 1 : (OVER_NORM[factor](cosine[i][j]) * norms[j]) / norms[i]));
    const pruned = stands.map((i, j) => Number(i === j));
    const read = columns.map((row) => row.map((w) => w / 1000));

    const frames = groups.filter((group) => group.length > 1).map((group) => {
      const from = order.indexOf(group[0]);
      return { from, to: from + group.length, size: group.length };
    }).sort((one, other) => other.size - one.size);
    const inside = groups.flatMap((group) => group.flatMap((i) => group.map((j) => cosine[i][j])));
    return {
      numbers: {
        "Neurons left": [groups.length, 0, `of ${n}`],
        "Largest group": [Math.max(...groups.map((group) => group.length)), 0],
        "Least cosine in a group": [Math.min(...inside), 2],
        "Silent neurons kept": [silent.filter((i) => stands[i] === i).length, 0, `of ${silent.length}`],
        "Next sums’ error / variance, merged": [(100 * change(stands, factors, read, products)) / spread, 1, "%"],
        "Next sums’ error / variance, pruned": [(100 * change(stands, pruned, read, products)) / spread, 1, "%"],
      },
      rows: {
        pairs: [{ url: picture(cosine, order), middle: n / 2 }],
        frames: frames.map((frame, i) => ({ ...frame, largest: i === 0 })),
        silent: runs(silent.map((i) => order.indexOf(i))),
        scale: [{ cosine: -1 }, { cosine: 1 }],
      },
    };
  },
  spec(width) {
    const side = Math.min(width - 130, 320);
    const place = (field, title) => ({
      field, title, type: "quantitative", scale: { domain: [0, 100] }, axis: { grid: false },
    });
    const down = (field) => ({ ...place(field, "neuron"), scale: { domain: [100, 0] } });
    return {
      width: side,
      height: side,
      layer: [
        {
          data: { name: "scale" }, // for the legend only
          mark: { type: "point", opacity: 0 },
          encoding: {
            color: {
              field: "cosine", type: "quantitative", title: "cosine",
              scale: { domain: [-1, 0, 1], interpolate: "rgb", range: [`rgb(${BLUE})`, "#fff", `rgb(${RED})`] },
              legend: { orient: "right", gradientLength: 120, gradientOpacity: 1, values: [-1, 0, 1] },
            },
          },
        },
        {
          data: { name: "pairs" },
          mark: { type: "image", width: side, height: side },
          encoding: {
            url: { field: "url" },
            x: place("middle", "neuron, similar ones together (bar: silent)"),
            y: down("middle"),
          },
        },
        {
          data: { name: "frames" },
          mark: { type: "rect", filled: false, color: "#000" },
          encoding: {
            x: { field: "from", type: "quantitative" }, x2: { field: "to" },
            y: { field: "from", type: "quantitative" }, y2: { field: "to" },
            strokeWidth: { condition: { test: "datum.largest", value: 2.5 }, value: 0.8 },
          },
        },
        {
          data: { name: "silent" },
          mark: { type: "rule", color: "#000", strokeWidth: 4, xOffset: 7 },
          encoding: { x: { datum: 100 }, y: { field: "from", type: "quantitative" }, y2: { field: "to" } },
        },
      ],
    };
  },
};
}
