/* Show the slides, in the reader's light or dark, and make what is too large as small as the slide. */
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = () => {
    document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
  };
  colour();
  dark.addEventListener("change", colour);

  const fit = (slide) => {
    const frame = slide?.querySelector(".fit");
    if (!frame) return;
    const inner = frame.firstElementChild;
    frame.style.height = `${690 - frame.offsetTop}px`; // below a heading of one line or two
    const box = (element) => element.getBoundingClientRect();
    // step by step: what is smaller has shorter paragraphs too
    for (let zoom = 1; zoom > 0.3; zoom -= 0.04) {
      inner.style.zoom = zoom;
      if (box(inner).height <= box(frame).height && inner.scrollWidth <= inner.clientWidth) break;
    }
  };

  const start = async () => {
    await window.MathJax?.startup?.promise;
    await Reveal.initialize({
      width: 1280,
      height: 720,
      margin: 0.02,
      center: false,
      hash: true,
      slideNumber: "c/t",
      transition: "none",
      plugins: [RevealNotes],
    });
    await document.fonts.ready;
    Reveal.on("slidechanged", (event) => fit(event.currentSlide));
    fit(Reveal.getCurrentSlide());
  };
  window.addEventListener("load", start);
})();
