"""What is wrong with a page as the browser shows it: scripts that run in the page."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize

DESKTOP, PHONE = ViewportSize(width=1300, height=900), ViewportSize(width=390, height=812)
#: A desktop at 200 %
ZOOMED = ViewportSize(width=650, height=450)

_SET_MODE = """mode => {
  Object.assign(document.documentElement.dataset, {mode: mode, theme: mode});
}"""

#: Formulas and images are there when this has resolved; a page without them resolves at once.
_READY = """async () => {
  await window.MathJax?.startup?.promise;
  await Promise.all([...document.images].map(i => i.decode().catch(() => null)));
}"""

_OPEN_EVERYTHING = """() => {
  const still = document.createElement('style');
  still.textContent = '*, ::before, ::after { transition: none !important; }';
  document.head.append(still);
  for (const d of document.querySelectorAll('main details, article details')) d.open = true;
  for (const e of document.querySelectorAll('.toggle-hidden')) e.classList.remove('toggle-hidden');
  for (const e of document.querySelectorAll('article [hidden]')) e.hidden = false;
}"""

#: Returns a list of sentences.
_LOOK = r"""() => {
  const found = [], short = s => s.trim().replace(/\s+/g, ' ').slice(0, 80);
  for (const m of document.querySelectorAll('.math'))
    if (!m.closest('mjx-container') && !m.querySelector('mjx-container'))
      found.push('unrendered formula: ' + short(m.textContent));
  for (const m of document.querySelectorAll('mjx-merror, merror, [data-mjx-error]'))
    found.push('formula with an error: ' +
      (m.getAttribute('data-mjx-error') || short(m.textContent)));
  for (const m of document.querySelectorAll('mjx-container[tabindex="0"]'))
    if (m.scrollWidth <= m.clientWidth + 1)
      found.push('the Tab key stops at a formula that does not scroll');
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const skip = 'code, pre, script, style, mjx-container, textarea, noscript, .math';
  for (let n; (n = walker.nextNode());) {
    if (n.parentElement.closest(skip)) continue;
    if (/\\\(|\\\[|\$\$|\\(begin|frac|mathrm)\{/.test(n.data))
      found.push('raw TeX in the text: ' + short(n.data));
    if (/\{[a-z:]+\}`/.test(n.data)) found.push('raw role in the text: ' + short(n.data));
  }
  for (const i of document.images) {
    const decorative = ['presentation', 'none'].includes(i.getAttribute('role'));
    if (!decorative && !(i.getAttribute('alt') || '').trim())
      found.push('image without alternative text: ' + i.getAttribute('src'));
    if (i.complete && !i.naturalWidth) found.push('broken image: ' + i.getAttribute('src'));
  }
  for (const e of document.querySelectorAll('.output.stderr'))
    found.push('a cell wrote to stderr: ' + short(e.textContent));
  return found;
}"""

_SCROLLS = """() => {
  const {scrollWidth, clientWidth} = document.scrollingElement;
  return scrollWidth <= clientWidth ? [] :
    [`scrolls sideways at ${clientWidth} px: ${scrollWidth} px wide`];
}"""

#: On a phone: a word on two lines, and a row that hides the shadow of a table that scrolls.
_BREAKS = r"""() => {
  const found = [], places = 'main :is(h1, h2, h3, td, th, .prev-next-title)';
  for (const e of document.querySelectorAll(places)) {
    const walker = document.createTreeWalker(e, NodeFilter.SHOW_TEXT), range = new Range();
    for (let n; (n = walker.nextNode());) {
      if (n.parentElement.closest('mjx-container, .genindextable')) continue;
      for (const {0: word, index} of n.data.matchAll(/\p{L}+/gu)) {
        range.setStart(n, index);
        range.setEnd(n, index + word.length);
        if (new Set([...range.getClientRects()].map(r => r.top)).size > 1)
          found.push('a word is broken on a phone: ' + word);
      }
    }
  }
  for (const t of document.querySelectorAll('main table'))
    if (t.parentElement.scrollWidth > t.parentElement.clientWidth + 1)
      for (const row of t.rows)
        if (/^rgb\(/.test(getComputedStyle(row).backgroundColor))
          found.push('a row hides that its table scrolls: ' + row.textContent.trim().slice(0, 60));
  return found;
}"""

#: pixels of a chapter on a desktop, at most, before anything is unfolded: 18,000, and what other
#: fonts may add
HEIGHT = 19_000
#: How much of its size a figure must keep on a phone: 10 points become 8.7 pixels
_SHRUNK = 0.65

_IS_SHORT = """most => {
  const found = [], {scrollHeight} = document.scrollingElement;
  if (scrollHeight > most) found.push(`${scrollHeight} px high, more than ${most}`);
  for (const p of document.querySelectorAll('main .cell_input pre'))
    if (p.offsetParent && p.scrollWidth > p.clientWidth + 1)
      found.push('code is cut: ' + p.textContent.trim().slice(0, 60));
  return found;
}"""

#: What stands open below a question, before the chapter's conclusions, and holds its answer: the
#: number with its unit, also with a digit less; or, in a table of the same section, three digits.
_GIVES_AWAY = r"""() => {
  const found = [], texts = [...document.querySelectorAll('main :is(h2, p, li, td, pre, text)')];
  const literally = s => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  for (const box of document.querySelectorAll('.prediction[data-facts]')) {
    const {name, kind, answer, unit} = JSON.parse(box.dataset.facts);
    if (kind !== 'number') continue;
    const exact = Math.abs(answer).toLocaleString('en', {maximumFractionDigits: 6});
    const decimals = exact.split('.')[1]?.length ?? 0;
    const shorter = Math.abs(answer).toFixed(Math.max(decimals - 1, 0));
    const rounded = Math.abs(answer) > 10 && exact.startsWith(shorter) ? shorter : exact;
    const number = `(?<![\\d.,])(${literally(exact)}(\\.0)?|${literally(rounded)})(?![.,]?\\d)`;
    const margin = '((±|of)\\s\\S+\\s)?([a-z]+\\s){0,2}';
    const told = new RegExp(`${number}\\s${margin}${unit ? literally(unit) : '$.'}`);
    const alone = new RegExp(exact.replace(/\D|^0/g, '').length < 3 ? '$.' : `^\\W*${number}`);
    let section = box.parentElement;
    while (section.parentElement.closest('section section')) section = section.parentElement;
    for (const e of texts.slice(texts.findIndex(e => box.compareDocumentPosition(e) === 4))) {
      if (/^(When to use what|Summary)/.test(e.textContent)) break;
      if (e.closest('[hidden], .cell_input')) continue;
      const near = e.matches('td') && section.contains(e) && e.textContent.match(alone);
      const match = e.textContent.match(told) ?? near;
      if (match) found.push(`the answer of ${name} stands below it: ${match[0]}`);
    }
  }
  return [...new Set(found)];
}"""

_FITS_A_PHONE = """least => {
  const found = [];
  for (const m of document.querySelectorAll('main div.math'))
    if ([m, ...m.querySelectorAll('mjx-container')].some(e => e.scrollWidth > e.clientWidth + 1))
      found.push(`formula is cut on a phone: ${m.id || m.textContent.trim().slice(0, 60)}`);
  for (const m of document.querySelectorAll('main span.math'))
    if (!m.closest('table') && m.getBoundingClientRect().right > innerWidth)
      found.push(`formula in a sentence is cut on a phone: ${m.textContent.trim().slice(0, 60)}`);
  for (const i of document.querySelectorAll('main .cell_output img'))
    if (i.offsetParent && i.clientWidth < least * i.naturalWidth)
      found.push(`figure of ${i.naturalWidth} px is ${i.clientWidth} px wide on a phone: ${i.alt}`);
  return found;
}"""

#: Where the Tab key stops without a visible mark; each element is focused as the keyboard does it.
_FOCUS = """() => {
  const found = [], look = e => {
    const s = getComputedStyle(e), outline = s.outlineStyle === 'none' ? '' : s.outlineWidth;
    return JSON.stringify([outline, s.boxShadow, s.borderColor, s.backgroundColor]);
  };
  const stops = 'a[href], button, summary, input, select, textarea, [tabindex="0"]';
  for (const e of document.querySelectorAll(stops)) {
    if (!e.checkVisibility()) continue;
    const before = look(e);
    e.focus({focusVisible: true, preventScroll: true});
    if (document.activeElement === e && look(e) === before)
      found.push('focus is not visible: ' +
        `<${e.tagName.toLowerCase()} class="${e.className}"> ${e.textContent.trim().slice(0, 40)}`);
  }
  document.activeElement?.blur();
  return [...new Set(found)];
}"""

#: Leaves one letter of each formula and one token of each kind of code: the rest has its colours
#: on the same ground, and axe needs half a minute for the thousands of boxes in one chapter.
_THIN_OUT = """() => {
  for (const m of document.querySelectorAll('mjx-container')) {
    m.style.lineHeight = 'normal'; // or the letter is higher than its box, which then scrolls
    m.replaceChildren('x');
  }
  const seen = new Set();
  for (const token of document.querySelectorAll('pre span, dt.sig span')) {
    const ground = token.closest('[class*="highlight-"], dt.sig')?.className;
    const kind = `${token.className} in ${token.parentElement.className} on ${ground}`;
    if (seen.has(kind)) token.replaceWith(token.textContent);
    seen.add(kind);
  }
}"""


def problems_of(page: Page, address: str, *, accessibly: bool, legibly: bool) -> list[str]:
    """Return what is wrong with the address on a desktop and on a phone, light and dark.

    ``accessibly`` asks axe as well, ``legibly`` whether a chapter is short, gives no
    answer away and nothing is cut.
    """
    page.set_viewport_size(DESKTOP)
    page.goto(address, wait_until="load")
    page.evaluate(_SET_MODE, "light")
    page.evaluate(_READY)
    problems: list[str] = page.evaluate(_IS_SHORT, HEIGHT) if legibly else []
    problems += page.evaluate(_GIVES_AWAY) if legibly else []
    page.evaluate(_OPEN_EVERYTHING)
    problems += page.evaluate(_LOOK)
    if legibly:
        page.set_viewport_size(ZOOMED)
        problems += page.evaluate(_SCROLLS)
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(400)  # the theme looks for scrolling boxes 300 ms after a resize
    problems += page.evaluate(_SCROLLS)
    problems += page.evaluate(_BREAKS)
    problems += page.evaluate(_FITS_A_PHONE, _SHRUNK) if legibly else []
    if accessibly:
        problems += page.evaluate(_FOCUS)
        page.evaluate(_THIN_OUT)
        problems += _inaccessible(page, "light")
        page.set_viewport_size(DESKTOP)
        page.evaluate(_SET_MODE, "dark")
        problems += _inaccessible(page, "dark")
    return problems


def _inaccessible(page: Page, mode: str) -> list[str]:
    """Return axe-core's violations of level serious and critical."""
    # preload copies style sheets into the page and so breaks their addresses
    options = {"preload": False, "resultTypes": ["violations"]}
    options |= {"runOnly": ["color-contrast"]} if mode == "dark" else {}  # only colours differ
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"axe, {mode}: {v['id']} ({v['impact']}): {len(v['nodes'])}×, e.g."
        f" {v['nodes'][0]['target'][0]}: {' '.join(v['nodes'][0]['failureSummary'].split())}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]
