/* Formulas that are wider than the screen scroll in their own box; here the keyboard reaches it. */
(() => {
  const boxes = "div.math, .bd-article figure, .bd-article .output.text_html, .pst-scrollable-table-container";
  const reach = () => {
    for (const box of document.querySelectorAll(boxes)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    reach();
    new ResizeObserver(reach).observe(document.body);
  });
})();
