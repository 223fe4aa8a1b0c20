/* Figures to play with. The scripts beside this one each add a figure of the page, by its name:
 *
 *   controls  what the reader moves: {name, label, value, min, max, step}, or with `options`
 *   compute   from the controls' values and the figure's data to {numbers, rows}: numbers are
 *             {name: [value, digits, unit]}, rows are Vega-Lite's data sets
 *   spec      a Vega-Lite specification, given the width in pixels
 *   ask       what there is to find out, if the caption does not say it
 *
 * The figure's picture stands until Vega has come, and in print. */
const PLAYABLE = {};
const PLAYABLE_DATA = {};

(() => {
  const here = document.currentScript?.src;
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];
  const CONFIG = {
    background: "#fff", // as the pictures, in dark mode too
    axis: { domainColor: "#000", gridOpacity: 0.5, labelFontSize: 13, tickColor: "#000", tickCount: 6,
      titleFontSize: 13, titleFontWeight: "normal" },
    legend: { labelFontSize: 13, orient: "top", title: null },
    text: { fontSize: 13 },
    range: { category: COLOURS },
    mark: { color: COLOURS[0] },
    view: { stroke: null },
  };
  const WIDEST = 520; // pixels

  let vegaComes;
  const withVega = () => (vegaComes ??= new Promise((resolve, reject) => {
    if (window.vegaEmbed) return resolve();
    const src = new URL("vega.js", here);
    document.head.append(make("script", { src, onload: resolve, onerror: reject }));
  }));

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  const shown = (value, digits = 0) => {
    const text = value.toLocaleString("en", {
      minimumFractionDigits: digits, maximumFractionDigits: digits,
    });
    return text.replace(/^-(0(\.0*)?)$/, "$1").replace("-", "−");
  };

  /* A control and what it says now; `moved` is called with each new value. */
  function control({ name, label, value, options, digits, unit = "", ...bounds }, moved) {
    const input = options
      ? make("select", { name }, ...options.map((text) => make("option", { value: text }, text)))
      : make("input", { type: "range", name, ...bounds });
    const reads = make("span", { className: "playable-value" });
    const told = () => {
      const now = options ? input.value : Number(input.value);
      if (!options) {
        reads.textContent = shown(now, digits) + unit;
        input.setAttribute("aria-valuetext", reads.textContent);
      }
      return now;
    };
    const put = (to) => { input.value = to; moved(name, told()); };
    input.addEventListener("input", () => moved(name, told()));
    input.value = value;
    told();
    return { element: make("label", {}, make("span", {}, `${label} `, reads), input), put, told };
  }

  function play(figure, { controls, compute, spec, ask }, data) {
    const values = Object.fromEntries(controls.map(({ name, value }) => [name, value]));
    const moved = (name, value) => { values[name] = value; update(); };
    const inputs = controls.map((one) => control(one, moved));
    controls.forEach(({ name }, i) => { values[name] = inputs[i].told(); });
    const reset = make("button", { type: "button" }, "Start again");
    reset.addEventListener("click", () => inputs.forEach(({ put }, i) => put(controls[i].value)));
    const picture = figure.querySelector(".figure-alone, img");
    const chart = make("div", { className: "playable-chart" });
    const numbers = make("dl", { className: "playable-numbers" });
    numbers.setAttribute("aria-live", "polite");
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", "The figure as it is moved now; the numbers before it describe it.");
    const number = figure.querySelector(".caption-number")?.textContent.trim() ?? "this figure";
    const title = make("legend", {}, `Play with ${number}`);
    const box = make("fieldset", { className: "playable" }, title);
    if (ask) box.append(make("p", {}, ask));
    box.append(make("div", { className: "playable-controls" }, ...inputs.map((i) => i.element)));
    box.append(numbers, chart, reset);
    const rows = {};
    let view;

    function update() {
      const found = compute(values, data);
      for (const [name, [value, digits, unit]] of Object.entries(found.numbers)) {
        const text = value === null ? "–" : `${shown(value, digits)}${unit ? ` ${unit}` : ""}`;
        rows[name] ??= numbers.appendChild(make("div", {}, make("dt", {}, name), make("dd", {}))).lastChild;
        Object.assign(rows[name].dataset, { name, value });
        if (rows[name].textContent !== text) rows[name].textContent = text; // only what changed is read
      }
      for (const [name, data] of Object.entries(found.rows)) view?.data(name, data);
      view?.runAsync();
    }

    async function draw() {
      const width = Math.min(WIDEST, box.clientWidth - 24);
      const datasets = compute(values, data).rows;
      const whole = { ...spec(width), datasets, padding: 4 };
      const made = await vegaEmbed(chart, whole, { actions: false, config: CONFIG, renderer: "svg" });
      view = made.view;
      chart.querySelector("svg").setAttribute("aria-hidden", "true"); // the box around it has a name
      update();
    }

    picture.before(box);
    picture.classList.add("playable-picture");
    let last = 0;
    new ResizeObserver(() => {
      const width = Math.min(WIDEST, box.clientWidth - 24);
      if (width > 0 && width !== last) { last = width; draw(); }
    }).observe(box);
  }

  function start() {
    const coming = new IntersectionObserver(async (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        coming.unobserve(target);
        await withVega();
        play(target, PLAYABLE[target.id], PLAYABLE_DATA[target.id]);
      }
    }, { rootMargin: "300px" });
    for (const name of Object.keys(PLAYABLE)) {
      const figure = document.getElementById(name);
      if (figure) coming.observe(figure);
    }
  }
  if (document.readyState === "complete") start();
  else window.addEventListener("load", start);
})();
