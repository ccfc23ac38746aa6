"use strict";
(() => {
  const root = document.documentElement;
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

  const toggle = one("#language");
  toggle.addEventListener("click", () => {
    const next = root.dataset.language === "en" ? "zh" : "en";
    root.dataset.language = next;
    root.lang = next;
    toggle.textContent = next === "en" ? "中文" : "English";
  });

  // The page may travel without its folder: downloads come from the page itself.
  const tables = JSON.parse(one("#tables").textContent);
  const save = (event, text, type) => {
    event.preventDefault();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = event.currentTarget.getAttribute("download");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  for (const link of all("[data-csv]")) {
    link.addEventListener("click", (event) => {
      const text = tables[link.dataset.csv];
      if (text !== undefined) save(event, "\ufeff" + text, "text/csv");
    });
  }
  for (const link of all("[data-svg]")) {
    link.addEventListener("click", (event) => {
      const drawing = one("svg", document.getElementById("f-" + link.dataset.svg)).cloneNode(true);
      for (const words of all("[lang]", drawing)) {
        if (words.getAttribute("lang") === root.lang) words.removeAttribute("lang");
        else words.remove();
      }
      save(event, new XMLSerializer().serializeToString(drawing), "image/svg+xml");
    });
  }
  for (const button of all(".enlarge")) {
    button.addEventListener("click", () => {
      const large = document.getElementById(button.dataset.figure).classList.toggle("large");
      button.setAttribute("aria-pressed", String(large));
    });
  }

  // The checklists belong to a printed report; other long tables stay in report_data.
  const closed = () => all("#checklists details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = closed();
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });

  const links = new Map(all("nav ol a").map((link) => [link.hash.slice(1), link]));
  const sections = all("main section");
  const mark = () => {
    const end = innerHeight + scrollY >= root.scrollHeight - 2;
    const read = sections.filter((section) => section.getBoundingClientRect().top <= innerHeight * 0.3);
    const asked = one(location.hash || "#none", one("main"));
    // At the end of the page the last parts cannot reach the top: the one that was asked for counts.
    let now = read.at(-1) || sections[0];
    if (end) now = sections.includes(asked) && asked.getBoundingClientRect().top >= 0 ? asked : sections.at(-1);
    for (const [key, link] of links) {
      if (key === now.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  };
  for (const kind of ["scroll", "resize", "hashchange"]) addEventListener(kind, later, { passive: true });
  mark();

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  for (const form of all("form.calculator")) {
    const models = JSON.parse(one("script.models", form).textContent);
    const chosen = one("select.model", form);
    const inputs = one(".inputs", form);
    const output = one("output", form);
    form.addEventListener("submit", (event) => event.preventDefault());

    const tell = () => {
      const model = models[chosen.value];
      let score = model.intercept;
      let points = 0;
      let complete = true;
      for (const predictor of model.predictors) {
        const field = one(`[data-predictor="${CSS.escape(predictor.name)}"]`, inputs);
        const value = field.value === "" ? NaN : Number(field.value);
        if (!Number.isFinite(value)) complete = false;
        field.classList.toggle("outside", value < predictor.low || value > predictor.high);
        score += predictor.coef * value;
        points += (value - predictor.zero_at) * predictor.coef * model.points_per_unit;
      }
      output.replaceChildren();
      if (!complete) {
        output.append(element("p", "–"));
        return;
      }
      const list = element("dl");
      const row = (name, text, value) => {
        list.append(element("dt", name), element("dd", text, { "data-result": name, "data-value": String(value) }));
      };
      row("points", points.toFixed(1), points);
      row("linear predictor", score.toFixed(3), score);
      for (const outcome of model.outcomes) {
        const p = model.kind === "binary"
          ? 1 / (1 + Math.exp(-score))
          : Math.exp(-outcome.hazard * Math.exp(Math.min(Math.max(score, -700), 700)));
        row(outcome.name, (100 * p).toFixed(1) + " %", p);
      }
      output.append(list);
    };

    const build = () => {
      inputs.replaceChildren();
      for (const predictor of models[chosen.value].predictors) {
        const label = element("label", predictor.name + " ");
        let field;
        if (predictor.labels && predictor.choices) {
          field = element("select");
          predictor.ticks.forEach((value, k) => field.append(element("option", predictor.labels[k], { value: String(value) })));
        } else {
          field = element("input", "", { type: "number", step: "any", value: String(predictor.start) });
          label.title = predictor.low + " – " + predictor.high;
        }
        field.dataset.predictor = predictor.name;
        field.addEventListener("input", tell);
        label.append(field);
        inputs.append(label);
      }
      tell();
    };
    chosen.addEventListener("change", build);
    build();
  }
})();
