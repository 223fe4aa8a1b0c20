/* How the book searches; follows Sphinx's searchtools.js, whose ranking and splitting it replaces.
   TERMS: a term of the glossary and the pages that use it, most often first: [name, share].
   CHINESE: the Chinese name of a term and its English one. search.py fills in both. */
const TERMS = $terms;
const CHINESE = $chinese;
const SPELLINGS = [
  [/is(?=(e|es|ed|ers?|ing|ations?)$$)/, "iz"],
  [/our/, "or"],
  [/ll(?=(ed|ing)$$)/, "l"],
];
let asked = "";

/* What is shown of a page that was found: sentences, without code, TeX and the head of the print. */
document.addEventListener("DOMContentLoaded", () => {
  const { htmlToText } = Search;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    page.querySelectorAll("#jb-print-docs-body, pre, div.math").forEach((part) => part.remove());
    return htmlToText.call(Search, page.documentElement.outerHTML, anchor).replace(/\\[lr]?[vV]ert|\\(?:[()]|(?=\w))|[{}]/g, "");
  };
});

/** The American spelling of a British word, if the book has that one only. */
function american(word) {
  const knows = (w) => Object.hasOwn(Search._index.terms, w) || Object.hasOwn(Search._index.titleterms, w);
  const known = (w) => knows(new Stemmer().stemWord(w));
  const others = SPELLINGS.map(([british, ours]) => word.replace(british, ours));
  return known(word) ? word : (others.find((w) => w !== word && known(w)) ?? word);
}

/** The English words of a Chinese term, or those that all terms with these letters share. */
function english(letters) {
  const names = Object.keys(CHINESE).filter((name) => name.includes(letters));
  const words = names.map((name) => CHINESE[name].split(/[ -]/));
  const shared = words[0]?.filter((word) => words.every((others) => others.includes(word)));
  return CHINESE[letters] ?? shared?.join(" ");
}

const pairs = (letters) =>
  letters.length < 3 ? letters : letters.replace(/.(?=(.).)/g, "$$&$$1 ");

var splitQuery = (query) => {
  const latin = query.replace(/[一-鿿]+/g, (letters) => ` $${english(letters) || pairs(letters)} `);
  const words = latin.split(/[^\p{Letter}\p{Number}_]+/gu).filter(Boolean).map(american);
  asked = words.join(" ").toLowerCase();
  return words;
};

var Scorer = {
  /** A chapter before the reference, and of the chapters the one that uses the term most. */
  score: ([page, title, anchor, description, score]) => {
    const place = /^chapters\/\d\d_/.test(page) ? 20 : /^chapters\/(api|oracles)\//.test(page) ? -20 : 0;
    const used = TERMS[asked]?.find(([name]) => name === page)?.[1] ?? 0;
    return score + place + (anchor ? 0 : used);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
