"use strict";
const byId = (id) => document.getElementById(id);
const GROUPS = ["front", "trial", "reference", "outside the limits"];
const RING = 4; // trace that circles the selected network
const SHOWN = 25; // rows per page of the table
const PRINTED = 200; // rows in print
const FILTERS = ["name", "group", "slowest", "costly", "least"];

async function unpack(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

// -- one network ------------------------------------------------------------------------------

// Names and architectures come from tables that anyone may have written: text, never markup.
const escape = (text) => text.replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`);

// A short form in lines of some stages, as long as a tooltip may be.
function lines(short) {
  const stages = short.split(" | ");
  let out = "";
  for (let at = 0; at < stages.length && at < 12; at += 3) {
    out += escape(stages.slice(at, at + 3).join(" | ")) + "<br>";
  }
  return short ? out : "";
}

const SHADES = { 1: "#e8e07a", 3: "#b8de29", 5: "#3cbb75", 7: "#238a8d", 9: "#39568c", 11: "#481567" };
const shade = (size) => SHADES[size] || "#7a5195";

function blocksOf(data, index) {
  const blocks = [];
  let stage = 0;
  for (const number of data.networks[index] || []) {
    if (number < 0) { stage += 1; continue; }
    const text = data.blocks[number];
    const part = (key) => (text.match(new RegExp("_" + key + "([0-9.]+)")) || [])[1];
    blocks.push({
      stage, text, channels: +part("c") || 0, stride: +part("s") || 1,
      kernels: (part("k") || "1").split(".").map(Number),
    });
  }
  return blocks;
}

function staircase(blocks) {
  const width = 280, height = 120, low = height - 14;
  const most = Math.max(1, ...blocks.map((b) => b.channels));
  const step = width / blocks.length;
  let out = "";
  blocks.forEach((block, at) => {
    const part = (block.channels / most) * (low - 4) / block.kernels.length;
    const name = `stage ${block.stage + 1}: ${block.text.replaceAll("_", " ")}`;
    out += `<g><title>${escape(name)}</title>`;
    block.kernels.forEach((size, n) => {
      out += `<rect x="${at * step + 1}" y="${low - part * (n + 1)}" width="${step - 2}" ` +
        `height="${part}" fill="${shade(size)}"/>`;
    });
    out += "</g>";
    if (at && block.stage !== blocks[at - 1].stage) {
      out += `<line x1="${at * step}" x2="${at * step}" y1="0" y2="${low}" stroke="currentColor" ` +
        `stroke-opacity=".35" stroke-dasharray="2 3"/>`;
    }
    if (block.stride === 2) {
      out += `<text x="${(at + 0.5) * step}" y="${height - 3}" font-size="9" fill="currentColor" ` +
        `text-anchor="middle">s2</text>`;
    }
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Channels and kernels of ` +
    `${blocks.length} blocks">${out}</svg>`;
}

function keys(blocks) {
  const sizes = [...new Set(blocks.flatMap((b) => b.kernels))].sort((a, b) => a - b);
  const each = sizes.map((s) => `<i style="background:${shade(s)}"></i>${s}x${s}`);
  return `<div class="keys soft">kernels: ${each.join("")}<br>bar height: output channels</div>`;
}

// -- the page ---------------------------------------------------------------------------------

class Report {
  constructor(data) {
    this.data = data;
    this.all = data.name.map((_, i) => i);
    this.filtered = this.all;
    this.order = { column: "latency_ms", down: false };
    this.page = 0;
    this.length = SHOWN; // rows shown at once
    this.chosen = null;
  }

  score(i, column = "score") {
    const value = this.data[column][i];
    if (value === null) return "-";
    return this.data.percent ? (100 * value).toFixed(1) + "%" : value.toPrecision(4);
  }

  latency(i) {
    const mark = this.data.predicted[i] ? " (predicted)" : "";
    return this.data.latency_ms[i].toFixed(2) + mark;
  }

  // Three significant digits, as in the tables of the commands: 339M, 4.13M, 463k.
  count(value) {
    if (value === null) return "-";
    for (const [prefix, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
      if (Math.abs(value) >= size * 0.9995) return +(value / size).toPrecision(3) + prefix;
    }
    return String(+value.toPrecision(6));
  }

  // The front and the references are drawn over all other networks, which are one trace.
  traces() {
    const { data } = this;
    const factor = data.percent ? 100 : 1;
    const has = (i, group) => data.group[i] === group && data.score[i] !== null;
    const part = (group, more) => {
      const members = this.filtered.filter((i) => has(i, group));
      return {
        x: members.map((i) => data.latency_ms[i]),
        y: members.map((i) => factor * data.score[i]),
        customdata: members,
        text: members.map((i) => `<b>${escape(data.name[i])}</b><br>${lines(data.short[i])}`
          + `${this.score(i)}, ${this.latency(i)} ms<br>${this.count(data.madds[i])} MAdds, ${this.count(data.params[i])} params`),
        hovertemplate: "%{text}<extra></extra>", name: GROUPS[group],
        showlegend: members.length > 0, ...more,
      };
    };
    const kind = this.all.length > 2000 ? "scattergl" : "scatter";
    return [
      part(1, { type: kind, mode: "markers", marker: { color: colour("trial"), size: 7, opacity: .75 } }),
      part(0, { mode: "lines+markers", line: { shape: "hv", color: colour("front"), width: 1.6 },
        marker: { color: colour("front"), size: 9 } }),
      part(2, { mode: "markers", marker: { color: colour("reference"), size: 11, symbol: "diamond" } }),
      part(3, { type: kind, mode: "markers",
        marker: { color: colour("trial"), size: 7, symbol: "x-thin-open", opacity: .75 } }),
      { ...this.ring(), mode: "markers", hoverinfo: "skip", showlegend: false,
        marker: { size: 18, color: "rgba(0,0,0,0)", line: { color: colour("ink"), width: 2 } } },
    ];
  }

  // Coordinates of the selected network; none if it is not drawn.
  ring() {
    const { data, chosen } = this;
    if (chosen === null || data.score[chosen] === null || !this.filtered.includes(chosen)) return { x: [], y: [] };
    return { x: [data.latency_ms[chosen]], y: [(data.percent ? 100 : 1) * data.score[chosen]] };
  }

  layout() {
    const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), color: colour("ink") };
    const unit = escape(this.data.label) + (this.data.percent ? " (%)" : "");
    const limits = (this.data.limits.latency_ms || []).filter((end) => end !== null);
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("ink") },
      margin: { l: 56, r: 12, t: 10, b: 46 }, hovermode: "closest",
      legend: { orientation: "h", y: 1.06, x: 0 },
      xaxis: { ...axis, title: { text: "median latency per image (ms)" } },
      yaxis: { ...axis, title: { text: unit } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("ink") },
      shapes: limits.map((end) => ({ type: "line", x0: end, x1: end, yref: "paper", y0: 0, y1: 1,
        line: { color: colour("soft"), width: 1.2, dash: "dash" } })),
      annotations: limits.map((end) => ({ text: "limit", x: end, yref: "paper", y: 0, xanchor: "left",
        yanchor: "bottom", showarrow: false, font: { color: colour("soft"), size: 11 } })),
      hoverlabel: { bgcolor: colour("panel"), font: { color: colour("ink") } },
    };
  }

  draw() {
    const options = { responsive: true, displaylogo: false,
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
    Plotly.react("plot", this.traces(), this.layout(), options);
  }

  // -- the card --

  show(i) {
    this.chosen = i;
    const { data } = this;
    const ends = [data.latency_p10_ms[i], data.latency_p90_ms[i]];
    const range = ends.includes(null) ? "-"
      : `${ends[0].toFixed(2)} to ${ends[1].toFixed(2)}`;
    const raw = data.smoothed ? [["raw", this.score(i, "raw_score")]] : [];
    const rows = [[data.label, this.score(i)], ...raw, ["latency (ms)", this.latency(i)],
      ["p10 to p90 (ms)", range], ["MAdds", this.count(data.madds[i])],
      ["params", this.count(data.params[i])], ["group", GROUPS[data.group[i]]]];
    const blocks = blocksOf(data, i);
    const card = byId("network");
    card.querySelector("h3").textContent = data.name[i];
    card.querySelector(".short").textContent = data.short[i];
    card.querySelector(".train").hidden = false;
    card.querySelector(".train code").textContent = commandOf(data, i);
    card.querySelector(".copy").setAttribute("aria-label", `copy the command that trains ${data.name[i]}`);
    card.querySelector(".spec").hidden = data.specs[i] === undefined;
    card.querySelector("dl").replaceChildren(...rows.flatMap(([name, value]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name; dd.textContent = value;
      return [dt, dd];
    }));
    card.querySelector(".stairs").innerHTML = blocks.length ? staircase(blocks) + keys(blocks)
      : '<p class="soft">The architecture was not recorded.</p>';
    for (const row of document.querySelectorAll("#rows tr")) {
      row.setAttribute("aria-current", String(+row.dataset.index === i));
    }
    const { x, y } = this.ring();
    Plotly.restyle("plot", { x: [x], y: [y] }, [RING]);
  }

  // -- the table --

  filter() {
    const { data } = this;
    const number = (id) => (byId(id).value === "" ? null : +byId(id).value);
    const text = byId("name").value.toLowerCase();
    const group = byId("group").value;
    const slowest = number("slowest"), costly = number("costly");
    let least = number("least");
    if (least !== null && data.percent) least /= 100;
    this.filtered = this.all.filter((i) =>
      data.name[i].toLowerCase().includes(text)
      && (group === "" || GROUPS[data.group[i]] === group)
      && (slowest === null || data.latency_ms[i] <= slowest)
      && (costly === null || (data.madds[i] !== null && data.madds[i] <= costly * 1e6))
      && (least === null || (data.score[i] !== null && data.score[i] >= least)));
    this.page = 0;
    this.draw();
    this.rows();
  }

  sorted() {
    const values = this.data[this.order.column];
    const sign = this.order.down ? -1 : 1;
    return [...this.filtered].sort((a, b) => {
      const [x, y] = [values[a], values[b]];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
    });
  }

  rows() {
    const pages = Math.max(1, Math.ceil(this.filtered.length / SHOWN));
    this.page = Math.min(this.page, pages - 1);
    const shown = this.sorted().slice(this.page * SHOWN, this.page * SHOWN + this.length);
    byId("rows").replaceChildren(...shown.map((i) => this.row(i)));
    if (shown.length) byId("rows").firstElementChild.tabIndex = 0;
    byId("count").textContent = `${this.filtered.length} of ${this.all.length} networks`;
    byId("place").textContent = `page ${this.page + 1} of ${pages}`;
    byId("before").disabled = this.page === 0;
    byId("after").disabled = this.page === pages - 1;
    for (const head of document.querySelectorAll("th[data-column]")) {
      const here = head.dataset.column === this.order.column;
      head.setAttribute("aria-sort", here ? (this.order.down ? "descending" : "ascending") : "none");
      head.querySelector("span").textContent = here ? (this.order.down ? " ▾" : " ▴") : "";
    }
  }

  row(i) {
    const { data } = this;
    const row = document.createElement("tr");
    row.className = GROUPS[data.group[i]];
    row.dataset.index = i;
    row.tabIndex = -1; // Tab reaches one row, the arrow keys the others
    row.setAttribute("aria-current", String(i === this.chosen));
    const cells = [this.score(i), this.latency(i), this.count(data.madds[i]),
      this.count(data.params[i]), GROUPS[data.group[i]]];
    const name = document.createElement("td");
    name.append(element("span", data.name[i], { className: "name" }), " ",
      element("span", data.short[i], { className: "short" }));
    row.append(name, ...cells.map((text) => element("td", text)));
    return row;
  }

  sort(column) {
    const again = column === this.order.column;
    this.order = { column, down: again ? !this.order.down : column === "score" };
    this.page = 0;
    this.rows();
  }

  // The page of a running search reloads itself; filters, order and scroll position survive.
  remember() {
    const filters = Object.fromEntries(FILTERS.map((id) => [id, byId(id).value]));
    try {
      sessionStorage.setItem(location.pathname, JSON.stringify({ filters, order: this.order,
        compared: this.comparison.chosen.map((i) => this.data.name[i]), scroll: scrollY }));
    } catch { /* some browsers have no storage for local files */ }
  }

  recall() {
    let stored = null;
    try { stored = JSON.parse(sessionStorage.getItem(location.pathname)); } catch { /* as above */ }
    if (!stored || !document.querySelector("meta[http-equiv=refresh]")) return;
    for (const id of FILTERS) byId(id).value = stored.filters[id];
    this.order = stored.order;
    this.filter();
    for (const name of stored.compared ?? []) {
      if (document.querySelector(`#shown tr[data-index="${this.data.name.indexOf(name)}"]`)) {
        this.comparison.toggle(this.data.name.indexOf(name));
      }
    }
    scrollTo(0, stored.scroll);
  }

  // -- events --

  listen() {
    byId("plot").on("plotly_hover", (event) => this.show(event.points[0].customdata));
    byId("plot").on("plotly_click", (event) => this.show(event.points[0].customdata));
    for (const id of FILTERS) {
      byId(id).addEventListener("input", () => this.filter());
    }
    for (const head of document.querySelectorAll("th[data-column] button")) {
      head.addEventListener("click", () => this.sort(head.parentElement.dataset.column));
    }
    byId("before").addEventListener("click", () => { this.page -= 1; this.rows(); });
    byId("after").addEventListener("click", () => { this.page += 1; this.rows(); });
    const rows = byId("rows");
    const pick = (event) => event.target.closest("tr");
    rows.addEventListener("click", (event) => this.show(+pick(event).dataset.index));
    rows.addEventListener("focusin", (event) => this.show(+pick(event).dataset.index));
    rows.addEventListener("keydown", (event) => {
      const next = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
      if (next && pick(event)[next]) { pick(event)[next].focus(); event.preventDefault(); }
    });
    const turn = (name) => { look(name); this.draw(); };
    const isDark = () => document.documentElement.dataset.look === "dark";
    byId("look").addEventListener("click", () => turn(isDark() ? "light" : "dark"));
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", (event) => turn(event.matches ? "dark" : "light"));
    let before = "light";
    const print = (length, name) => { this.length = length; this.rows(); turn(name); };
    addEventListener("beforeprint", () => { before = isDark() ? "dark" : "light"; print(PRINTED, "light"); });
    addEventListener("afterprint", () => print(SHOWN, before));
    addEventListener("pagehide", () => this.remember());
  }
}

function look(name) {
  document.documentElement.dataset.look = name;
  byId("look").textContent = name === "dark" ? "light" : "dark";
}

async function begin() {
  look(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const [library, data] = await Promise.all([unpack("plotly"), unpack("data")]);
  const script = document.createElement("script");
  script.textContent = library;
  document.head.append(script);
  const report = new Report(JSON.parse(data));
  report.rows();
  report.draw();
  report.listen();
  listenToNetworks(report);
  if (report.all.length) report.show(report.all.find((i) => report.data.group[i] === 0) ?? 0);
  report.recall();
  document.body.dataset.ready = "yes";
}

begin().catch((error) => {
  byId("plot").textContent = `This browser cannot draw the figure (${error}); see figures/front.svg instead.`;
});
