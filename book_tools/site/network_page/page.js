/* The page: a pen, the bytes, and what the network makes of a drawing: a list of dots on a canvas
   of 280 × 280, or the pixels of an example. The page sets FILES and EXAMPLES, with the classes. */
const $ = (id) => document.getElementById(`net-${id}`);
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const clamp = (v, most) => Math.min(Math.max(v, 0), most);
const [column, row] = [(i) => i % 28, (i) => Math.floor(i / 28)];
const [canvas, pen] = [$("canvas"), { x: 140, y: 140, down: false }];
const context = Object.assign(canvas.getContext("2d"), { fillStyle: "#fff", strokeStyle: "orange" });
const PENS = { clothes: { box: 28, width: 3, filled: true }, digits: { box: 20, width: 2.4 } };
let [name, dots, pixels, bytes, network] = ["clothes", [], null];

/** Move the pen, then put it down or lift it; while it is down it leaves a dot every four units. */
function move(dx, dy, down) {
  if (pixels && down) take("");
  const [x, y] = [clamp(pen.x + dx, 280), clamp(pen.y + dy, 280)];
  const n = pen.down ? Math.ceil(Math.hypot(dx, dy) / 4) : 0;
  dots.push(...times(n, (i) => [x - ((x - pen.x) * i) / n, y - ((y - pen.y) * i) / n]));
  if (down) dots.push([x, y]);
  Object.assign(pen, { x, y, down });
}

/** Grey values of a line through the dots, scaled and moved, with a soft edge. */
function render(width, scale, dx, dy) {
  return times(784, (i) => {
    const [x, y] = [(column(i) + 0.5 - dx) / scale, (row(i) + 0.5 - dy) / scale];
    const nearest = Math.min(...dots.map((dot) => Math.hypot(x - dot[0], y - dot[1])));
    return clamp((width + 1) / 2 - scale * nearest, 1);
  });
}

/** Outlines filled with grey: the places that have a line to the left, right, above and below. */
function fill(grey) {
  const line = (i, step, n) => times(n, (k) => grey[i + k * step]).some((v) => v > 0.5);
  const across = (i) => line(i, -1, column(i) + 1) && line(i, 1, 28 - column(i));
  const along = (i) => line(i, -28, row(i) + 1) && line(i, 28, 28 - row(i));
  return grey.map((v, i) => (across(i) && along(i) ? Math.max(v, 0.8) : v));
}

/** What the network sees: the drawing fitted into a box; a digit is then centred by its mass. */
function picture() {
  if (pixels || !dots.length) return pixels;
  const { box, width, filled } = PENS[name];
  const places = [0, 1].map((axis) => dots.map((dot) => dot[axis]));
  const ends = places.map((values) => [Math.min(...values), Math.max(...values)]);
  const scale = (box - width) / Math.max(28, ...ends.map(([low, high]) => high - low));
  const [dx, dy] = ends.map(([low, high]) => 14 - (scale * (low + high)) / 2);
  const grey = render(width, scale, dx, dy);
  if (filled) return fill(grey);
  const off = (place) => 13.5 - sum(grey.map((v, i) => v * place(i))) / sum(grey);
  return render(width, scale, dx + off(column), dy + off(row));
}

/** Paint values, 0 black to 1 white, as the squares of a canvas. */
function paint(target, values) {
  target.width = target.height = Math.sqrt(values.length);
  const image = new ImageData(target.width, target.height);
  values.forEach((v, i) => image.data.set([255 * v, 255 * v, 255 * v, 255], 4 * i));
  target.getContext("2d").putImageData(image, 0, 0);
  return target;
}

/** Show the drawing, what the network sees of it, and what it answers. */
function answer() {
  const seen = picture();
  const circle = (x, y, radius) => (context.beginPath(), context.arc(x, y, radius, 0, 7), context);
  paint($("seen"), seen ?? times(784, () => 0));
  context.clearRect(0, 0, 280, 280);
  if (pixels) context.drawImage($("seen"), 0, 0, 280, 280);
  for (const [x, y] of dots) circle(x, y, 10).fill();
  circle(pen.x, pen.y, 12).stroke();
  const z = network && seen ? [...logits(network, seen)] : [];
  const powers = z.map((v) => Math.exp(v - Math.max(...z)));
  const shares = powers.map((v) => (100 * v) / sum(powers));
  [...$("answer").rows].forEach(({ cells }, i) => {
    cells[1].firstChild.style.width = `${shares[i] ?? 0}%`;
    cells[2].textContent = z.length ? `${shares[i].toFixed(1)} %` : "–";
  });
  const best = shares.indexOf(Math.max(...shares));
  const most = z.length && `${EXAMPLES[name][best][0]}, ${shares[best].toFixed(0)} %`;
  $("said").textContent = most || (network ? "nothing yet" : "no network");
  $("pen").textContent = `${pen.down ? "down" : "up"} at ${pen.x.toFixed()}, ${pen.y.toFixed()}`;
}

/** Take an example: pixels, or strokes through the places a b c / d e f / … of a grid. */
function take(example) {
  [dots, pixels, pen.down] = [[], null, false];
  if (example.length > 99) pixels = Array.from(fromBase64(example), (v) => v / 255);
  for (const letter of pixels ? "" : example) {
    const place = letter.charCodeAt(0) - 97;
    if (place < 0) pen.down = false;
    else move(80 + 60 * (place % 3) - pen.x, 40 + 50 * Math.floor(place / 3) - pen.y, true);
  }
  pen.down = false;
}

/** Decode the bytes; show each part of the file with its bytes, and the first layer's filters. */
function decode() {
  let parts = [["not decoded", bytes.length]]; // what, and where it ends
  [network, $("read").textContent] = [null, "The decoder accepts the file."];
  try {
    network = readNetwork(bytes);
    parts = network.tables.map(({ label, end }) => [label, end]);
    parts = [["header", network.start], ...parts, ["checksum", bytes.length]];
  } catch (error) {
    $("read").textContent = `The decoder refuses the file: ${error.message}.`;
  }
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  $("bytes").innerHTML = parts.map(([label, end], i) => {
    const begin = i ? parts[i - 1][1] : 0;
    const shown = hex.slice(Math.round(begin), Math.round(end)).join(" ");
    return `<li>${label}: bytes ${begin.toFixed(1)} to ${end.toFixed(1)}<br><code>${shown}</code></li>`;
  }).join("");
  const filters = network?.tables[0].integers ?? [];
  const largest = Math.max(...filters.flat().map(Math.abs));
  $("filters").replaceChildren(...filters.map((filter, i) => {
    const target = paint(document.createElement("canvas"), filter.map((v) => (v / largest + 1) / 2));
    return Object.assign(target, { role: "img", ariaLabel: `Filter ${i + 1}: ${filter.join(" ")}` });
  }));
  answer();
}

/** Begin with one of the networks: its file, its classes, its examples. */
function begin(chosen) {
  [name, bytes] = [chosen, fromBase64(FILES[chosen])];
  EXAMPLES[name].forEach(([label, example], i) => {
    const button = $("examples").children[i];
    $("answer").rows[i].cells[0].textContent = label;
    button.ariaLabel = `Example: ${label}`;
    button.onclick = () => (take(example), answer());
    take(example);
    paint(button.firstChild, picture());
  });
  take("");
  decode();
}

canvas.onpointerdown = canvas.onpointermove = canvas.onpointerup = (event) => {
  const [unit, down] = [280 / canvas.clientWidth, event.buttons > 0];
  if (event.type === "pointermove" && !down) return;
  if (down) canvas.setPointerCapture(event.pointerId);
  move(event.offsetX * unit - pen.x, event.offsetY * unit - pen.y, down);
  answer();
};
const STEPS = { Left: [-10, 0], Right: [10, 0], Up: [0, -10], Down: [0, 10], " ": [0, 0] };
canvas.onkeydown = (event) => {
  const step = STEPS[event.key.replace("Arrow", "")];
  if (!step) return;
  event.preventDefault();
  move(...step, event.key === " " ? !pen.down : pen.down);
  answer();
};
$("clear").onclick = () => (take(""), answer());
$("repair").onclick = () => ((bytes = fromBase64(FILES[name])), decode());
$("flip").onclick = () => ((bytes[Math.floor(Math.random() * bytes.length)] ^= 1), decode());
$("choice").onchange = (event) => begin(event.target.value);
begin("clothes");
[$("fallback").hidden, $("reader").hidden] = [true, false];
