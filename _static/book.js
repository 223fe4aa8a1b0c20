/* The keyboard reaches what scrolls in a box of its own; marks stay beside their formula; tables and figures fit a phone. */
(() => {
  const boxes = ".bd-article :is(div.math, mjx-container[display='true'], figure, pre, .output.text_html, .pst-scrollable-table-container)";
  const reach = () => {
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  // A formula may not be parted from the full stop after it, or the bracket before it.
  const join = (formula) => {
    const word = Object.assign(document.createElement("span"), { className: "word" });
    const [before, after] = [formula.previousSibling, formula.nextSibling];
    const start = before?.nodeType === 3 ? before.data.match(/\S*$/)[0] : "";
    const end = after?.nodeType === 3 ? after.data.match(/^\S*/)[0] : "";
    if (!start && !end) return;
    formula.before(word);
    word.append(start, formula, end);
    if (start) before.data = before.data.slice(0, -start.length);
    if (end) after.data = after.data.slice(end.length);
  };
  // On a phone the cells of a table of sentences stand below each other, with the heads of their columns (book.css).
  const stack = (table) => {
    const [heads, cells] = [[...table.rows[0].cells], [...table.querySelectorAll("td")]];
    if (heads.length < 3 || cells.every((cell) => cell.textContent.length < 50)) return;
    table.classList.add("stacked");
    for (const cell of cells)
      if (cell.cellIndex || /^\s*\d+\s*$/.test(cell.textContent)) cell.dataset.head = heads[cell.cellIndex].textContent;
  };
  const breakNames = (code) => {
    code.innerHTML = code.innerHTML.replace(/(\w[._])(?=\w)/g, "$1<wbr>");
  };
  // A phone would show the file of a figure smaller than the page does.
  const enlarge = (event) => {
    const link = event.target.closest("a.figure-alone");
    if (!link || innerWidth > 600) return;
    event.preventDefault();
    const [box, close] = ["dialog", "button"].map((name) => document.createElement(name));
    box.className = "enlarged";
    close.textContent = "Close";
    close.addEventListener("click", () => box.close());
    box.addEventListener("close", () => box.remove());
    box.append(close, link.querySelector("img").cloneNode());
    document.body.append(box);
    box.showModal();
  };
  document.addEventListener("click", enlarge);
  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    document.querySelectorAll(".bd-article span.math").forEach(join);
    document.querySelectorAll(".pst-scrollable-table-container > table").forEach(stack);
    document.querySelectorAll("td code .pre").forEach(breakNames);
    reach();
    new ResizeObserver(reach).observe(document.body);
  });
})();
