"""Pages with one thing wrong each, and one that is well, for the tests of the site checker."""

HEAD = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A page</title>'
    '<link rel="icon" href="data:,">'
    '<meta name="viewport" content="width=device-width"></head><body><main><h1>A page</h1>'
)
TAIL = "</main></body></html>"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
BROKEN = "data:image/png;base64,AAAA"

#: What is wrong in the body of a page, and what the checker must say of it.
SEEN = {
    "console error": ("<script>console.error('lost')</script>", "console error: lost"),
    "script error": ("<script>nowhere()</script>", "script error: nowhere is not defined"),
    "missing file": ('<script src="no.js"></script>', "status 404: "),
    "unrendered formula": (
        r'<p><span class="math">\(x^2\)</span></p>',
        r"unrendered formula: \(x^2\)",
    ),
    "formula with an error": (
        '<mjx-container><mjx-merror data-mjx-error="Extra }">x</mjx-merror></mjx-container>',
        "formula with an error: Extra }",
    ),
    "formula on the Tab key": (
        '<mjx-container tabindex="0">x</mjx-container>',
        "the Tab key stops at a formula that does not scroll",
    ),
    "raw TeX": (r"<p>It is \(x^2\) large.</p>", r"raw TeX in the text: It is \(x^2\) large."),
    "raw display TeX": ("<p>$$ x^2 $$</p>", "raw TeX in the text: $$ x^2 $$"),
    "raw role": ("<p>see {numref}`fig-a`</p>", "raw role in the text: see {numref}`fig-a`"),
    "image without alt": (f'<img src="{PIXEL}#a">', f"alternative text: {PIXEL}#a"),
    "image with empty alt": (f'<img alt="" src="{PIXEL}#b">', f"alternative text: {PIXEL}#b"),
    "broken image": (f'<img alt="x" src="{BROKEN}">', f"broken image: {BROKEN}"),
    "stderr": ('<div class="output stderr">Warning</div>', "a cell wrote to stderr: Warning"),
    "wide page": ('<div style="width: 700px">wide</div>', "scrolls sideways at 390 px"),
    "fetch from elsewhere": (
        "<script>fetch('https://example.org/a').catch(() => 0)</script>",
        "fetches from elsewhere: https://example.org/a",
    ),
    "style from elsewhere": (
        '<link rel="stylesheet" href="//a.org/x.css">',
        "fetches from elsewhere: http://a.org/x.css",
    ),
    "low contrast": (
        '<style>[data-theme=light] #a { color: #bbb }</style><p id="a">pale</p>',
        "axe, light: color-contrast (serious): 1×, e.g. #a",
    ),
    "low contrast in dark mode": (
        '<style>[data-theme=dark] #b { color: #222; background: #000 }</style><p id="b">dark</p>',
        "axe, dark: color-contrast (serious): 1×, e.g. #b",
    ),
    "long page": ('<div style="height: 19000px"></div>', " px high, more than 19000"),
    "code that is cut": (
        f'<div class="cell_input"><pre tabindex="0" style="overflow: auto">{300 * "y"}</pre></div>',
        "code is cut: yyy",
    ),
    "answer in sight": (
        '<aside class="prediction" data-facts=\'{"name": "a", "kind": "number", "answer": -3.6,'
        ' "unit": "points"}\'><p>It is 3.6 points.</p></aside><p hidden>It costs 3.6 points.</p>'
        "<p>Not 13.6 points, but 3.6 ± 1.7 points.</p><h2>Summary</h2><p>3.6 points</p>",
        "the answer of a stands below it: 3.6 ± 1.7 points",
    ),
    "formula that is cut": (
        '<div class="math" id="eq-a" style="overflow: auto"><mjx-container>'
        '<div style="width: 600px">x</div></mjx-container></div>',
        "formula is cut on a phone: eq-a",
    ),
    "formula in a sentence that is cut": (
        '<div style="overflow: hidden"><span class="math"><mjx-container style="display: '
        'inline-block; width: 400px">b</mjx-container></span></div>',
        "formula in a sentence is cut on a phone: b",
    ),
    "broken word": (
        '<h2 style="width: 3em; overflow-wrap: anywhere">Quantization</h2>',
        "a word is broken on a phone: Quantization",
    ),
    "row that hides a shadow": (
        '<div style="overflow: auto" tabindex="0"><table style="width: 700px">'
        '<tr style="background: white"><td>opaque</td></tr></table></div>',
        "a row hides that its table scrolls: opaque",
    ),
    "figure that shrinks": (
        '<div class="cell_output"><img alt="Wide" style="max-width: 100%" src="data:image/svg+xml,'
        "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='9'/>\"></div>",
        "figure of 900 px is ",
    ),
    "focus that nobody sees": (
        '<style>#c:focus { outline: none }</style><a id="c" href="#">where</a>',
        'focus is not visible: <a class=""> where',
    ),
    "button without a name": ("<button></button>", "axe, light: button-name"),
}
#: What the browser says of the files that it does not get, and axe of the images as well.
ALSO = (
    *("console error: Failed to load resource", "axe, light: image-alt"),
    "scrolls sideways at 650 px",
)

#: Body of a page, and what the link checker must say of it.
LINKED = {
    "missing page": ('<a href="gone.html">x</a>', "broken link: gone.html"),
    "missing anchor": ('<a href="#gone">x</a>', "link to an anchor that is not there: #gone"),
    "anchor of another page": ('<a href="b.html#gone">x</a>', "anchor that is not there"),
    "absolute path": ('<a href="/b.html">x</a>', "link leaves the site"),
    "above the root": ('<a href="../b.html">x</a>', "link leaves the site"),
    "redirect to nowhere": (
        '<meta http-equiv="refresh" content="0; url=gone.html">',
        "broken link: gone.html",
    ),
}

WELL = (
    '<p id="there">Good. <a href="b.html#there">on</a> <a href="https://example.org">out</a></p>'
    f'<img alt="A dot" src="{PIXEL}"><img role="presentation" alt="" src="{PIXEL}">'
    r"<pre>\(x\) in code</pre><mjx-container>x</mjx-container>"
    '<div style="overflow-x: auto" tabindex="0"><div style="width: 700px">wide</div></div>'
    '<div style="overflow-x: auto" tabindex="0"><table style="width: 700px">'
    "<tr><td>wide</td></tr></table></div><h2>Two words</h2>"
)
