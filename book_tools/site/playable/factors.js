/* Chapter 17: the rows of two neurons, the points to which factors stretch one, and their errors. */
PLAYABLE["fig-merge-factors"] = {
  ask: "Which factor has the least bound at every angle? From which angle on is the ratio of norms worse on average than pruning?",
  controls: [
    { name: "degrees", label: "Angle θ", value: 60, min: 0, max: 120, step: 1, unit: "°" },
    { name: "ratio", label: "Ratio of norms", value: 2.4, min: 0.5, max: 2.5, step: 0.1, digits: 1 },
    { name: "factor", label: "Factor", value: "projection",
      options: ["pruning", "projection", "best on average", "ratio of norms"] },
  ],
  compute({ degrees, ratio, factor }) {
    const theta = (degrees * Math.PI) / 180;
    const cosine = Math.cos(theta);
    const kappa = (Math.sin(theta) + (Math.PI - theta) * cosine) / Math.PI;
    const [kept, removed] = [{ x: 1, y: 0 }, { x: ratio * cosine, y: ratio * Math.sin(theta) }];
    const overNorm = {
      pruning: 0,
      projection: Math.max(cosine, 0),
      "best on average": kappa,
      "ratio of norms": 1,
    };
    const bound = (r) => Math.hypot(removed.x - r * ratio, removed.y) / ratio; // ‖a_j − c a_i‖ / ‖a_j‖
    const mean = (r) => 1 + r ** 2 - 2 * kappa * r;
    const errors = (r) => [
      { r, error: bound(r), what: "bound" },
      { r, error: mean(r), what: "mean squared, Gaussian" },
    ];
    const factors = Object.entries(overNorm).map(([name, r]) => {
      return { name, r, x: r * ratio, y: 0, x2: removed.x, y2: removed.y, chosen: name === factor };
    });
    const r = overNorm[factor];
    return {
      numbers: {
        "Cosine": [cosine, 3],
        "κ(θ)": [kappa, 3],
        "Factor c": [r * ratio, 3],
        "Bound, relative": [bound(r), 3],
        "Mean squared error, relative": [mean(r), 3],
      },
      rows: {
        factors,
        arrows: [
          { ...kept, name: "kept", turn: 90, label: -0.25 },
          { ...removed, name: "removed", turn: 90 - degrees, label: removed.y + 0.25 },
        ],
        curves: Array.from({ length: 121 }, (_, i) => i / 100).flatMap(errors),
        points: factors.flatMap((one) => errors(one.r).map((error) => ({ ...one, ...error }))),
      },
    };
  },
  spec(width) {
    const inner = Math.min(width - 60, 400);
    const quantitative = (field, domain, more) => {
      return { field, type: "quantitative", scale: { domain, nice: false }, ...more };
    };
    const place = { axis: null };
    const x = quantitative("x", [-1.4, 2.8], place);
    const y = quantitative("y", [-0.4, 2.8], place);
    const names = ["pruning", "projection", "best on average", "ratio of norms"];
    const color = {
      field: "name",
      scale: { domain: names, range: ["#000", "#0072B2", "#009E73", "#D55E00"] },
      legend: { columns: width < 300 ? 1 : width < 400 ? 2 : 4 },
    };
    const lower = {
      x: quantitative("r", [0, 1.2], { title: "factor / ratio of norms", axis: { values: [0, 0.5, 1] } }),
      y: quantitative("error", [0, 2.2], { title: "error, relative" }),
    };
    return {
      vconcat: [
        {
          width: inner,
          height: (inner * 3.2) / 4.2,
          layer: [
            {
              data: { values: [{ x: 0, y: 0, x2: 2.7 }] },
              mark: { type: "rule", color: "#bbb" },
              encoding: { x, y, x2: { field: "x2" } },
            },
            {
              data: { name: "factors" },
              mark: { type: "rule" },
              encoding: {
                x, y, x2: { field: "x2" }, y2: { field: "y2" }, color,
                size: { condition: { test: "datum.chosen", value: 2.5 }, value: 1 },
                strokeDash: { condition: { test: "datum.chosen", value: [1, 0] }, value: [2, 3] },
              },
            },
            {
              data: { name: "arrows" },
              mark: { type: "rule", strokeWidth: 2.5, color: "#333" },
              encoding: { x, y, x2: { datum: 0 }, y2: { datum: 0 } },
            },
            {
              data: { name: "arrows" },
              mark: { type: "point", shape: "triangle-up", filled: true, size: 120, color: "#333", opacity: 1 },
              encoding: { x, y, angle: { field: "turn", type: "quantitative", scale: null } },
            },
            {
              data: { name: "arrows" },
              mark: { type: "text" },
              encoding: { x, y: { ...y, field: "label" }, text: { field: "name" } },
            },
            {
              data: { name: "factors" },
              mark: { type: "circle", size: 80, opacity: 1 },
              encoding: { x, y, color },
            },
          ],
        },
        {
          width: inner,
          height: 150,
          layer: [
            {
              data: { name: "curves" },
              mark: { type: "line", color: "#333", clip: true },
              encoding: {
                ...lower,
                strokeDash: {
                  field: "what",
                  legend: { orient: "bottom", labelLimit: 0, columns: width < 400 ? 1 : 2 },
                },
              },
            },
            {
              data: { name: "points" },
              mark: { type: "circle", size: 70, opacity: 1 },
              encoding: { ...lower, color },
            },
          ],
        },
      ],
      resolve: { legend: { strokeDash: "independent" } },
    };
  },
};
