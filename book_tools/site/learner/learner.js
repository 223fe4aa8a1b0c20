/* Questions before results, and exercises that the reader has solved; the browser keeps both. */
(() => {
  const KEY = "model-compression";
  const read = () => {
    try { return JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { return {}; }
  };
  const write = (all) => {
    try { localStorage.setItem(KEY, JSON.stringify(all)); } catch { /* this visit only */ }
  };
  const keep = (part, name, value) => {
    const all = read();
    write({ ...all, [part]: { ...all[part], [name]: value } });
  };
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const button = (text, clicked) => {
    const made = make("button", { type: "button" }, text);
    made.addEventListener("click", clicked);
    return made;
  };

  /* How far off a guess was: the same sentences as exercises/predictions.py. */
  const compared = ({ kind, answer, unit, close }, guess, options) => {
    const number = (value) =>
      value.toLocaleString("en", { maximumFractionDigits: 6 }).replace("-", "−");
    if (kind === "number") {
      const of = unit ? ` ${unit}` : "";
      const opposite = guess * answer < 0;
      const off = opposite ? Math.abs(guess) - Math.abs(answer) : guess - answer;
      const sign = opposite ? " The sign is wrong; what follows is about the size." : "";
      const told = `You said ${number(guess)}${of}; it is ${number(answer)}${of}.${sign}`;
      if (off === 0) return `${told} Exactly.`;
      if (Math.abs(off) <= close) return `${told} Close.`;
      const by = { "": "", times: "", "%": " points" }[unit] ?? of; // 5 times too high is something else
      return `${told} Your guess is ${number(Number(Math.abs(off).toPrecision(3)))}${by} too ${off > 0 ? "high" : "low"}.`;
    }
    if (kind === "choice") {
      const right = options[answer.charCodeAt(0) - 97];
      return `You chose ${guess}; it is ${answer}: ${right}`;
    }
    const pairs = [...answer].flatMap((a, i) => [...answer.slice(i + 1)].map((b) => [a, b]));
    const kept = pairs.filter(([a, b]) => guess.indexOf(a) < guess.indexOf(b)).length;
    return `You said ${guess}; it is ${answer}: ${kept} of ${pairs.length} pairs are in order.`;
  };

  /* The fields of a guess, and a function that reads them: null while nothing is chosen. */
  const fields = {
    number({ unit }) {
      const input = make("input", { type: "number", step: "any", autocomplete: "off" });
      const label = make("label", {}, "Your guess ", input, unit ? ` ${unit}` : "");
      return [label, () => (input.value === "" ? null : Number(input.value))];
    },
    choice({ name }, list) {
      for (const item of list.children) {
        const input = make("input", { type: "radio", name, value: item.dataset.letter });
        item.replaceChildren(make("label", {}, input, " ", ...item.childNodes));
      }
      return ["", () => list.querySelector(":checked")?.value ?? null];
    },
    order(_, list, tell) {
      const arrow = (item, text, name, move) => {
        const made = button(text, () => {
          move();
          made.focus();
          tell(`now ${[...list.children].indexOf(item) + 1} of ${list.children.length}`);
        });
        made.className = "prediction-move";
        made.setAttribute("aria-label", name);
        return made;
      };
      for (const item of list.children) {
        const text = item.textContent;
        const up = () => item.previousElementSibling?.before(item);
        const down = () => item.nextElementSibling?.after(item);
        item.prepend(arrow(item, "↑", `Move up: ${text}`, up), arrow(item, "↓", `Move down: ${text}`, down), " ");
      }
      return ["", () => [...list.children].map((item) => item.dataset.letter).join("")];
    },
  };

  /* What a question hides: the next cells and the text after them, up to another topic. That is the next
   * question or section, a paragraph with a bold beginning, one that leads to a cell, or that cell. */
  const result = (box, { hides }) => {
    const [found, end] = [[], "section, .prediction"];
    let told = false;
    for (let e = box.nextElementSibling; e && !e.matches(end); e = e.nextElementSibling) {
      const leads = e.matches("p") && /[:?]$/.test(e.textContent.trim());
      const other = isBold(e.firstChild) || (told && (leads || e.matches(".cell")));
      if (!hides && found.length && other) break;
      told ||= !e.matches(".cell");
      found.push(e);
    }
    const later = hides === "part" ? [...box.parentElement.parentElement.children] : [];
    return [...found, ...later.slice(later.indexOf(box.parentElement) + 1)];
  };
  const isBold = (node) => node?.nodeName === "STRONG";
  const count = (elements, selector, name) => {
    const n = elements.reduce((sum, e) => sum + e.querySelectorAll(selector).length, 0);
    return n ? [`${n} ${name}${n > 1 ? "s" : ""}`] : [];
  };
  const inWords = (elements) => {
    const words = [...count(elements, ".cell_output table", "table"), ...count(elements, "figure", "figure")];
    return `Hidden until you guess: ${[...words, "text"].join(", ")}.`;
  };

  /* The first notice of a page offers to hide nothing any more. */
  const never = button("Never hide results", () => {
    keep("settings", "hide", false);
    document.querySelectorAll('[hidden="until-found"]').forEach((e) => { e.hidden = false; });
    document.querySelectorAll(".prediction-hidden").forEach((e) => e.remove());
  });
  const offer = () => document.querySelector(".prediction-hidden")?.append(never);

  const ask = (box) => {
    const facts = JSON.parse(box.dataset.facts);
    const [answer, list, results] = [box.querySelector("details"), box.querySelector("ol"), result(box, facts)];
    const options = [...(list?.children ?? [])].map((item) => item.textContent);
    const said = make("p", { className: "prediction-said" });
    said.setAttribute("role", "status");
    const [field, guess] = fields[facts.kind](facts, list, (text) => { said.textContent = text; });
    const hidden = make("p", { className: "prediction-hidden" });
    const show = () => {
      results.forEach((e) => { e.hidden = false; });
      hidden.remove();
      offer();
    };
    const form = make("form", { id: `guess-${facts.name}` });
    list?.querySelectorAll("input").forEach((input) => input.setAttribute("form", form.id)); // the enter key
    const done = (value) => {
      form.remove();
      list?.querySelectorAll("input").forEach((input) => input.remove());
      list?.querySelector(`[data-letter="${facts.answer}"]`)?.classList.add("prediction-right");
      box.querySelectorAll(".prediction-move").forEach((arrow) => arrow.remove());
      if (facts.kind === "order") {
        list.before(make("p", {}, "The right order:"));
        list.append(...[...facts.answer].map((letter) => list.querySelector(`[data-letter="${letter}"]`)));
      }
      said.textContent = value === null ? "" : compared(facts, value, options);
      if (value !== null) box.querySelector(".prediction-answer").hidden = true; // the sentence before has it
      answer.hidden = false;
      answer.open = true;
      show();
    };
    const end = (value) => {
      keep("guesses", facts.name, value);
      done(value);
      answer.querySelector("summary").focus(); // the button that had it is gone
    };
    form.append(
      field,
      make("button", { type: "submit" }, "Lock in my guess"),
      button("Show me", () => end(null)),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = guess();
      if (value === null) said.textContent = "Guess first; a wrong guess teaches as well.";
      else end(value);
    });
    answer.before(form, said);
    answer.hidden = true;
    const { guesses = {}, settings = {} } = read();
    if (facts.name in guesses) return done(guesses[facts.name]);
    if (settings.hide === false) return;
    hidden.append(`${inWords(results)} `);
    box.after(hidden);
    for (const e of results) {
      e.setAttribute("hidden", "until-found"); // the browser's search finds it, and shows it
      e.addEventListener("beforematch", show);
    }
  };

  const goTo = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target?.closest(".toggle-hidden");
    folded?.querySelector(".toggle-button")?.click();
    let hidden = target?.closest("[hidden]");
    if (!hidden && !folded) return;
    for (; hidden; hidden = target.closest("[hidden]")) {
      hidden.dispatchEvent(new Event("beforematch")); // as the browser's search does
      hidden.hidden = false;
    }
    target.scrollIntoView();
  };

  /* An exercise has a box to tick; a page that lists exercises shows which are solved. */
  const solvable = (exercise) => {
    const name = exercise.id.slice(3);
    const box = make("input", { type: "checkbox", checked: !!read().solved?.[name] });
    box.addEventListener("change", () => keep("solved", name, box.checked));
    exercise.append(make("label", { className: "exercise-solved" }, box, " I have solved this"));
  };
  const listed = (table) => {
    const solved = read().solved ?? {};
    for (const link of table.querySelectorAll('a[href*="#ex-"]')) {
      const name = link.hash.slice(4);
      link.parentElement.querySelector(".exercise-done")?.remove();
      if (solved[name]) link.after(make("span", { className: "exercise-done" }, " ✓ solved"));
    }
  };

  document.querySelectorAll(".prediction[data-facts]").forEach((box, place) => {
    const title = box.querySelector(".admonition-title, p");
    title.id ||= `prediction-${place}`;
    title.nextElementSibling.id ||= `question-${place}`;
    box.setAttribute("role", "group");
    box.setAttribute("aria-labelledby", `${title.id} ${title.nextElementSibling.id}`);
    ask(box);
  });
  offer();
  document.querySelectorAll('.exercise.admonition[id^="ex-"]').forEach(solvable);
  document.querySelectorAll("table").forEach(listed);
  ["hashchange", "load"].forEach((event) => window.addEventListener(event, goTo)); // the buttons to unfold are there at load

  /* The page of all exercises has the settings, and takes the file that the notebooks keep. */
  const hiding = document.querySelector("#results-hidden");
  if (hiding) hiding.checked = read().settings?.hide !== false;
  hiding?.addEventListener("change", () => keep("settings", "hide", hiding.checked));
  document.querySelector("#guesses-forgotten")?.addEventListener("click", (event) => {
    const all = read();
    delete all.guesses;
    write(all);
    event.target.textContent = "Forgotten";
  });
  const chooser = document.querySelector("#exercises-progress");
  chooser?.addEventListener("change", async () => {
    const told = document.querySelector("#exercises-told");
    try {
      const tried = Object.entries(JSON.parse(await chooser.files[0].text()));
      if (!tried.every(([, entry]) => "passed" in entry)) throw new TypeError();
      const passed = tried.filter(([, entry]) => entry.passed).map(([name]) => name);
      passed.forEach((name) => keep("solved", name, true));
      told.textContent = `${passed.length} solved exercises read.`;
    } catch {
      told.textContent = "This is not a progress.json of the course.";
    }
    chooser.value = ""; // the same file may come again
    document.querySelectorAll("table").forEach(listed);
  });
})();
