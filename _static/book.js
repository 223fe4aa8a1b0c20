/* The keyboard reaches what scrolls in a box of its own; marks stay beside their formula. */
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
  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    document.querySelectorAll(".bd-article span.math").forEach(join);
    reach();
    new ResizeObserver(reach).observe(document.body);
  });
})();
