/* Chapter 10: temperature and α; the softened answers of teacher and student, and the objective. */
PLAYABLE["fig-distill-temperature"] = {
  ask: "Which of the two is surer that this is a shirt, at T = 1 and at T = 4? Why must α be chosen anew when T changes?",
  controls: [
    { name: "T", label: "Temperature T", value: 4, min: 0.5, max: 20, step: 0.5, digits: 1 },
    { name: "alpha", label: "Weight of the teacher α", value: 0.9, min: 0, max: 1, step: 0.05, digits: 2 },
  ],
  compute({ T, alpha }, { classes, label, image, v, z }) {
    const soften = (logits, t) => {
      const powers = logits.map((logit) => Math.exp((logit - Math.max(...logits)) / t));
      const total = powers.reduce((sum, power) => sum + power);
      return powers.map((power) => power / total);
    };
    const sum = (terms) => terms.reduce((a, b) => a + b);
    const divergence = (p, q) => sum(p.map((pk, k) => pk * Math.log(pk / q[k])));
    const hard = -Math.log(soften(z, 1)[classes.indexOf(label)]);
    const parts = (t) => {
      const soft = t ** 2 * divergence(soften(v, t), soften(z, t));
      return { hard, soft, L: (1 - alpha) * hard + alpha * soft };
    };
    const [p, q] = [soften(v, T), soften(z, T)];
    const names = { hard: "hard", soft: "T² D", L: "L" };
    const lines = (t) => Object.entries(parts(t)).map(([part, nats]) => ({ t, nats, part: names[part] }));
    return {
      numbers: {
        "Largest p": [Math.max(...p), 3],
        "Entropy of p": [-sum(p.map((pk) => pk * Math.log(pk))), 3, "nats"],
        "D(p‖q)": [divergence(p, q), 4, "nats"],
        "Soft part, T² D": [parts(T).soft, 4, "nats"],
        "Hard part": [hard, 4, "nats"],
        "Objective L": [parts(T).L, 4, "nats"],
      },
      rows: {
        bars: classes.flatMap((name, k) => [
          { name, who: "teacher", share: p[k] },
          { name, who: "student", share: q[k] },
        ]),
        lines: Array.from({ length: 75 }, (_, i) => 0.5 * 40 ** (i / 74)).flatMap(lines),
        now: lines(T),
        image: [{ image, name: "Dress", share: 0.85 }],
      },
    };
  },
  spec(width) {
    const y = { field: "name", type: "nominal", sort: null, title: null };
    const line = {
      x: { field: "t", type: "quantitative", title: "temperature T",
        scale: { type: "log", domain: [0.5, 20], nice: false },
        axis: { values: [0.5, 1, 2, 4, 10, 20] } },
      y: { field: "nats", type: "quantitative", title: "nats", axis: { format: "d", tickCount: 4 } },
      color: { field: "part", scale: { range: ["#009E73", "#CC79A7", "#000"] }, sort: null },
    };
    return {
      vconcat: [
        {
          width: width - 120,
          height: 180,
          layer: [
            {
              data: { name: "bars" },
              mark: { type: "bar" },
              encoding: {
                x: { field: "share", type: "quantitative", title: "probability", scale: { domain: [0, 1] } },
                y,
                yOffset: { field: "who", sort: null },
                color: { field: "who", sort: null },
              },
            },
            {
              data: { name: "image" },
              mark: { type: "image", width: 56, height: 56 },
              encoding: { x: { field: "share", type: "quantitative" }, y, url: { field: "image" } },
            },
          ],
        },
        {
          width: width - 120,
          height: 80,
          layer: [
            { data: { name: "lines" }, mark: { type: "line", strokeWidth: 2 }, encoding: line },
            { data: { name: "now" }, mark: { type: "circle", size: 70, opacity: 1 }, encoding: line },
          ],
        },
      ],
      resolve: { scale: { color: "independent" } },
    };
  },
};
