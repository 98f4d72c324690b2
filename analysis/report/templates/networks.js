"use strict";
// What can be done with networks of the page: copying commands, downloading, comparing two of them.
// Names and commands come from files that anyone may have written: they become text, never markup.

const element = (tag, text = "", more = {}) => {
  const made = Object.assign(document.createElement(tag), more);
  made.textContent = text;
  return made;
};

// -- copying ----------------------------------------------------------------------------------

// What screen readers say and what is shown for some seconds.
function say(text) {
  const place = byId("said");
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { place.textContent = ""; }, 5000);
}

// Browsers may refuse the clipboard to a local file; a selection can always be copied by hand.
async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    try { return document.execCommand("copy"); } catch { return false; }
  }
}

async function copy(button) {
  const before = button.dataset.label || button.textContent;
  button.dataset.label = before;
  const done = await copied(button.closest(".train").querySelector("code"));
  button.textContent = done ? "copied" : "press Ctrl+C";
  say(done ? "The command was copied." : "The command is selected; press Ctrl+C to copy it.");
  setTimeout(() => { button.textContent = before; }, 2500);
}

// -- downloading ------------------------------------------------------------------------------

const fileName = (text) => text.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+/, "") || "network";

function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = Object.assign(document.createElement("a"), { href: url, download: fileName(name) });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  say(`${link.download} was downloaded.`);
}

// Spreadsheets take text that begins with these marks for a formula, which a name must not be.
function cell(value) {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) && value !== "-" ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csv = (rows) => rows.map((row) => row.map(cell).join(",") + "\r\n").join("");

function networksCsv(data, members) {
  const percent = (value) => (value === null || !data.percent ? value : +(100 * value).toPrecision(5));
  const unit = data.percent ? " (%)" : "";
  const line = (i) => data.networks[i].map((n) => (n < 0 ? "|" : data.blocks[n])).join(" ");
  const source = (i) => (data.predicted[i] ? "predicted" : "measured");
  return csv([
    ["network", "group", data.label + unit, "raw" + unit, "latency (ms)", "p10 (ms)", "p90 (ms)",
      "latency", "MAdds", "params", "architecture"],
    ...members.map((i) => [data.name[i], GROUPS[data.group[i]], percent(data.score[i]), percent(data.raw_score[i]), data.latency_ms[i],
      data.latency_p10_ms[i], data.latency_p90_ms[i], source(i), data.madds[i], data.params[i], line(i)]),
  ]);
}

function tableCsv(table) {
  const text = (each) => (each.querySelector(".name") || each).textContent.trim().replace(/\s+/g, " ");
  return csv([...table.rows].map((row) => [...row.cells].map(text)));
}

function offerTables(run) {
  for (const table of document.querySelectorAll("table[data-csv]")) {
    const button = element("button", "download as CSV", { className: "csv" });
    button.setAttribute("aria-label", `download the table of ${table.dataset.csv} as CSV`);
    button.addEventListener("click", () => download(`${run}-${table.dataset.csv}.csv`, "text/csv", tableCsv(table)));
    table.parentElement.after(button);
  }
}

// -- the command and the spec of a network ----------------------------------------------------

function commandOf(data, i) {
  if (data.commands[i] !== undefined) return data.commands[i];
  return data.trial_command.join(data.name[i].replace(/^trial_/, ""));
}

const saveSpec = (data, i) => download(`${data.name[i]}.yaml`, "application/yaml", data.specs[i]);

// -- comparing --------------------------------------------------------------------------------

// Parts of a block by their letters: ir_k3.5_s2_e6_c24 has the kind ir and the parts k, s, e and c.
function partsOf(text) {
  const [kind, ...parts] = text.split("_");
  return new Map([["kind", kind], ...parts.map((part) => [part.match(/^[a-z]*/)[0] || part, part])]);
}

// A cell with the parts of a block; those that differ from the other block's are marked.
function blockCell(block, other) {
  const made = element("td", "", { className: "text" });
  if (!block || !other) {
    made.append(block ? block.text.replaceAll("_", " ") : element("mark", "no block"));
    return made;
  }
  const own = partsOf(block.text), others = partsOf(other.text);
  for (const key of new Set([...own.keys(), ...others.keys()])) {
    const differs = own.get(key) !== others.get(key);
    made.append(element(differs ? "mark" : "span", own.get(key) ?? `no ${key}`), " ");
  }
  return made;
}

// Blocks are matched by their places: stage by stage, and in a stage from its beginning.
function pairs(first, second) {
  const last = Math.max(...[...first, ...second].map((block) => block.stage));
  const found = [];
  for (let stage = 0; stage <= last; stage += 1) {
    const [a, b] = [first, second].map((blocks) => blocks.filter((block) => block.stage === stage));
    for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
      found.push({ place: `${stage + 1}.${at + 1}`, a: a[at], b: b[at] });
    }
  }
  return found;
}

const signed = (value, write) => `${value < 0 ? "−" : "+"}${write(Math.abs(value))}`;

// Costs of two networks, and what the second one has more of.
function costRows(report, i, j) {
  const { data } = report;
  const ratio = (column) => {
    const [a, b] = [data[column][i], data[column][j]];
    if (a === null || b === null || !(a > 0)) return "-";
    return signed(100 * (b / a - 1), (change) => `${change.toFixed(1)}%`);
  };
  const points = () => {
    const [a, b] = [data.score[i], data.score[j]];
    if (a === null || b === null) return "-";
    return data.percent ? signed(100 * (b - a), (change) => `${change.toFixed(2)} points`)
      : signed(b - a, (change) => change.toPrecision(3));
  };
  const count = (at) => blocksOf(data, at).length;
  return [
    [data.label, report.score(i), report.score(j), points()],
    ["latency (ms)", report.latency(i), report.latency(j), ratio("latency_ms")],
    ["MAdds", report.count(data.madds[i]), report.count(data.madds[j]), ratio("madds")],
    ["params", report.count(data.params[i]), report.count(data.params[j]), ratio("params")],
    ["blocks", String(count(i)), String(count(j)), signed(count(j) - count(i), (more) => String(more))],
  ];
}

function tableOf(caption, titles, rows, className = "") {
  const table = document.createElement("table"), head = table.createTHead().insertRow();
  table.prepend(element("caption", caption));
  for (const title of titles) head.append(element("th", title, { scope: "col", className }));
  const body = table.createTBody();
  for (const row of rows) body.insertRow().append(...row);
  const wide = element("div", "", { className: "wide" });
  wide.append(table);
  return wide;
}

class Comparison {
  constructor(report) {
    this.report = report;
    this.chosen = []; // positions of at most two networks, in the order of their choice
  }

  toggle(i) {
    const { chosen } = this;
    this.chosen = chosen.includes(i) ? chosen.filter((each) => each !== i) : [...chosen, i].slice(-2);
    this.draw();
  }

  draw() {
    for (const row of document.querySelectorAll("#shown tbody tr")) {
      row.querySelector(".tick").checked = this.chosen.includes(+row.dataset.index);
    }
    const place = byId("compared"), bar = byId("bar");
    const names = this.chosen.map((i) => this.report.data.name[i]);
    place.hidden = names.length < 2;
    place.replaceChildren(...(place.hidden ? [] : this.content()));
    bar.querySelector("span").textContent = ["", `${names[0]}: tick another network to compare it with.`,
      `${names[0]} and ${names[1]} are compared below the table.`][names.length];
    bar.querySelector("a").hidden = place.hidden;
    bar.classList.toggle("on", names.length > 0);
  }

  // The bar is in the way of the comparison itself.
  watch() {
    byId("bar").querySelector("button").addEventListener("click", () => { this.chosen = []; this.draw(); });
    new IntersectionObserver(([seen]) => byId("bar").classList.toggle("away", seen.isIntersecting))
      .observe(byId("compared"));
  }

  content() {
    const { report, chosen: [i, j] } = this;
    const { data } = report, names = [data.name[i], data.name[j]];
    const matched = pairs(blocksOf(data, i), blocksOf(data, j));
    const differ = matched.filter(({ a, b }) => (a && a.text) !== (b && b.text)).length;
    const head = (text) => element("th", text, { scope: "row" });
    const costs = costRows(report, i, j).map(([title, ...cells]) =>
      [head(title), ...cells.map((text) => element("td", text))]);
    const blocks = matched.map(({ place, a, b }) =>
      [head(place), blockCell(a, b), blockCell(b, a)]);
    return [
      element("h3", `${names[0]} and ${names[1]}`),
      element("p", `${differ} of ${matched.length} blocks of ${names[0]} and ${names[1]} differ; differences are marked.`),
      tableOf("Costs", ["", ...names, "difference"], costs),
      tableOf("Blocks", ["block", ...names], blocks, "text"),
      element("p", "Blocks are numbered by stage. The first word is the kind of block; s is the stride, and the other letters are as above. "
        + "Stem, head and activations are in the specs.", { className: "soft" }),
    ];
  }
}

// -- events -----------------------------------------------------------------------------------

function listenToNetworks(report) {
  const { data } = report, run = document.querySelector("h1").textContent;
  report.comparison = new Comparison(report);
  offerTables(run);
  byId("rows-csv").addEventListener("click",
    () => download(`${run}-networks.csv`, "text/csv", networksCsv(data, report.sorted())));
  const card = byId("network");
  card.querySelector(".copy").addEventListener("click", (event) => copy(event.target));
  card.querySelector(".spec").addEventListener("click", () => saveSpec(data, report.chosen));
  const rows = [...document.querySelectorAll("#shown tbody tr")];
  if (!rows.length) return;
  report.comparison.watch();
  byId("shown-csv").addEventListener("click",
    () => download(`${run}-front.csv`, "text/csv", networksCsv(data, rows.map((row) => +row.dataset.index))));
  for (const row of rows) {
    const i = +row.dataset.index;
    row.querySelector(".tick").addEventListener("change", () => report.comparison.toggle(i));
    row.querySelector(".copy").addEventListener("click", (event) => copy(event.target));
    row.querySelector(".spec")?.addEventListener("click", () => saveSpec(data, i));
  }
}
