"use strict";
// No framework and nothing from elsewhere. Every text reaches the page as a text node, so none of it is read as HTML.
const HIGH = 40, ROW_END = "\x1e", CELL_END = "\x1f", NONE = "not measured";
const HEAD = { unit: "unit", explanation: "explanation", r: "r", gain: "gain", minimum: "worst corpus" };
const NAMES = {
  kind: "kind", layer: "layer", program: "program", bits: "bits of the program", unigram: "r of the unigram baseline",
  bigram: "r of the bigram baseline", position: "r of the position baseline", auprc: "AUPRC", rate: "share of tokens active", iou: "IoU",
  precision: "precision", twin_p: "p against the random twin", found: "beats the twin", sufficiency: "sufficiency",
  necessity: "necessity", effect: "effect kept (C)", r: "r", gain: "gain over the best baseline", minimum: "r in the worst corpus",
};
const $ = (id) => document.getElementById(id);
const column = {}, orders = {}, examples = new Map(), waiting = new Map();
let units = null, count = 0, low = "", starts = null, ends = null, view = new Uint32Array(0), at = -1, opened = -1, sortBy = "unit", down = false;

function make(tag, attributes = {}, ...children) {
  const svg = /^(svg|g|line|circle|rect|path|text)$/.test(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function number(value) {
  if (Number.isNaN(value)) return NONE;
  const size = Math.abs(value);
  const text = Number.isInteger(value) ? String(value) : size < 0.0005 ? value.toExponential(1) : size < 10 ? value.toFixed(3) : value.toFixed(1);
  return text.replace("-", "−");
}
function written(name, row) {
  const value = column[name][row];
  if (name === "unit" || name === "explanation" || name === "program") return text(row)[["unit", "explanation", "program"].indexOf(name)];
  if (name === "kind") return units.kinds[value];
  if (name === "found" && !Number.isNaN(value)) return value ? "yes" : "no";
  return Number.isNaN(value) || name === "layer" ? number(value) : Number.isInteger(value) && name !== "bits" ? value.toFixed(3) : number(value);
}
const text = (row) => units.texts.slice(starts[row], ends[row]).split(CELL_END);
const largestFirst = (name) => !["unit", "explanation", "program", "kind", "layer", "twin_p"].includes(name);
const title = (name) => NAMES[name] || "r in " + name.slice(7);

function explorerUnits(given) {
  units = given;
  const coded = atob(given.numbers), bytes = new Uint8Array(coded.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = coded.charCodeAt(i);
  const all = new Float32Array(bytes.buffer);
  count = all.length / given.columns.length;
  given.columns.forEach((name, i) => { column[name] = all.subarray(i * count, (i + 1) * count); });
  [starts, ends] = bounds(given.texts);
  low = given.texts.toLowerCase();
  const names = ["unit", ...given.columns.filter((name) => (NAMES[name] && name !== "unit") || name.startsWith("corpus:")), "explanation"];
  for (const name of names) $("sort").append(make("option", { value: name }, name === "unit" || name === "explanation" ? name : title(name)));
  filter();
  fromHash();
  if (opened >= 0) $("panes").scrollIntoView();
}
function bounds(all) {
  const from = new Uint32Array(count), to = new Uint32Array(count);
  for (let row = 0, start = 0; row < count; row++) {
    const end = all.indexOf(ROW_END, start);
    from[row] = start;
    to[row] = end < 0 ? all.length : end;
    start = to[row] + 1;
  }
  return [from, to];
}

// Search: one string holds the texts of all units. Each hit leads to the unit that it lies in, and the search goes on behind that unit.
let lowEnds = null;
function mark(word, hits) {
  if (!lowEnds) lowEnds = low.length === units.texts.length ? ends : bounds(low)[1]; // lower case may be longer
  for (let row = 0, from = low.indexOf(word); from >= 0; from = low.indexOf(word, lowEnds[row])) {
    if (lowEnds[row] <= from) { // the first unit that ends behind the hit, by halving
      let above = count - 1;
      while (row < above) { const middle = (row + above) >> 1; if (lowEnds[middle] <= from) row = middle + 1; else above = middle; }
    }
    hits[row]++;
  }
}
function order(name) {
  if (orders[name]) return orders[name];
  const values = column[name], rows = new Uint32Array(count);
  let measured = 0, last = count;
  for (let row = 0; row < count; row++) if (!Number.isNaN(values[row])) rows[measured++] = row;
  for (let row = count - 1; row >= 0; row--) if (Number.isNaN(values[row])) rows[--last] = row;
  rows.subarray(0, measured).sort((a, b) => values[a] - values[b] || a - b);
  return (orders[name] = { rows, measured });
}
function filter() {
  const kind = units.kinds.indexOf($("kind").value), layer = $("layer").value, least = $("least").valueAsNumber, found = $("found").checked;
  const terms = [...new Set($("words").value.toLowerCase().split(/\s+/).filter(Boolean))], hits = new Uint8Array(count);
  terms.forEach((term) => mark(term, hits));
  const { rows, measured } = order(sortBy), out = new Uint32Array(count);
  const fits = (row) => hits[row] === terms.length && (kind < 0 || column.kind[row] === kind) && (!layer || column.layer[row] === +layer)
    && (!found || column.found[row] === 1) && (Number.isNaN(least) || column.minimum[row] > least);
  let n = 0;
  for (let i = 0; i < measured; i++) { const row = rows[down ? measured - 1 - i : i]; if (fits(row)) out[n++] = row; }
  for (let i = measured; i < count; i++) if (fits(rows[i])) out[n++] = rows[i]; // not measured: last in either order
  view = out.subarray(0, n);
  at = view.indexOf(opened);
  $("count").textContent = `${n.toLocaleString("en")} of ${count.toLocaleString("en")} units, by ${sortBy === "unit" ? "unit" : $("sort").selectedOptions[0].text}${down ? ", largest first" : ""}`;
  $("space").style.height = n * HIGH + "px";
  $("table").scrollTop = 0;
  heads();
  draw();
}
const shown = () => [...Object.keys(HEAD), sortBy in HEAD ? "twin_p" : sortBy];
function heads() {
  const label = (name) => HEAD[name] || (name === "twin_p" ? "twin p" : title(name));
  const cells = shown().map((name) => {
    const chosen = name === sortBy, node = make("button", { type: "button", title: "Sort by " + label(name) }, label(name) + (chosen ? (down ? " ↓" : " ↑") : ""));
    if (chosen) node.dataset.dir = down ? "down" : "up";
    node.onclick = () => sort(name, chosen ? !down : largestFirst(name));
    return node;
  });
  const focused = [...$("head").children].indexOf(document.activeElement);
  $("head").replaceChildren(...cells);
  if (focused >= 0) cells[focused].focus();
  $("turn").textContent = down ? "↓" : "↑";
}
function sort(name, downwards) {
  sortBy = name;
  down = downwards;
  $("sort").value = name;
  filter();
}

// Only the rows in sight exist, and are filled anew when the table is scrolled.
const pool = [];
function draw() {
  const first = Math.max(0, Math.floor($("table").scrollTop / HIGH) - 4), many = Math.ceil($("table").clientHeight / HIGH) + 8, names = shown();
  while (pool.length < many) { const node = make("div", { class: "row", role: "option" }); node.append(...names.map(() => make("span"))); pool.push(node); $("space").append(node); }
  pool.forEach((node, i) => {
    const place = first + i;
    node.hidden = i >= many || place >= view.length;
    node.style.display = node.hidden ? "none" : "";
    if (node.hidden) return;
    const row = view[place];
    node.id = "row" + place;
    node.style.top = place * HIGH + "px";
    node.onclick = () => { at = place; location.hash = text(row)[0]; };
    node.setAttribute("aria-selected", place === at);
    node.setAttribute("aria-posinset", place + 1);
    node.setAttribute("aria-setsize", view.length);
    names.forEach((name, j) => {
      const said = written(name, row), cell = node.children[j];
      cell.textContent = said;
      cell.className = said === NONE ? "none" : "";
    });
    node.children[1].title = node.children[1].textContent;
  });
  if (at >= 0) $("table").setAttribute("aria-activedescendant", "row" + at); else $("table").removeAttribute("aria-activedescendant");
}
function move(to) {
  at = Math.max(0, Math.min(view.length - 1, to));
  const table = $("table"), top = at * HIGH;
  if (top < table.scrollTop) table.scrollTop = top;
  if (top + HIGH > table.scrollTop + table.clientHeight) table.scrollTop = top + HIGH - table.clientHeight;
  draw();
}

// One unit: what it is said to do, the card, the causal test, the null, and examples.
const rowOf = (name) => { const found = units.texts.startsWith(name + CELL_END) ? 0 : units.texts.indexOf(ROW_END + name + CELL_END) + 1; return found || units.texts.startsWith(name + CELL_END) ? starts.indexOf(found) : -1; };
function fromHash() {
  const name = location.hash.slice(1);
  if (!name || !units) return;
  const row = rowOf(name);
  if (row < 0) return $("unit").replaceChildren(make("p", {}, `There is no unit ${name}. Names are like ${text(0)[0]}; search for a part of one above.`));
  const fresh = row !== opened;
  open(row);
  if (view[at] !== row) { at = view.indexOf(row); if (at >= 0) move(at); }
  draw();
  if (fresh && matchMedia("(max-width: 900px)").matches) $("unit").scrollIntoView();
}
function numbers(row, names) {
  return make("dl", { class: "facts" }, ...names.map((name) => make("div", {}, make("dt", {}, title(name)), make("dd", {}, written(name, row)))));
}
function open(row) {
  opened = row;
  const [name, explanation, program] = text(row), p = column.twin_p[row], found = column.found[row];
  const twin = Number.isNaN(p) ? "This unit was not compared with units of the random twin." : `p against units of the random twin: ${number(p)} (small where few of them score as high).`;
  const told = Number.isNaN(found) ? "Whether it beats the twin was not measured." : found ? "It beats the twin at the false discovery rate of this run." : "It does not beat the twin: a program as good is to be expected of random weights, so this explanation is no finding.";
  const body = make("div", { id: "examples" }, make("p", { class: "muted" }, "Reading examples ..."));
  $("unit").replaceChildren(
    make("h2", {}, `${name} `, make("span", { class: "muted" }, `${units.kinds[column.kind[row]]}, layer ${column.layer[row]}`)),
    make("p", {}, explanation || "No explanation was written."), make("pre", {}, program || "no program"),
    make("h3", {}, "How well the program predicts the unit"), card(row), numbers(row, ["auprc", "rate", "iou", "precision", "bits"]),
    make("p", { class: "muted" }, "AUPRC of a program that knows nothing is the share of tokens active."),
    make("h3", {}, "Causal test"), numbers(row, ["sufficiency", "necessity", "effect"]),
    make("p", { class: "muted" }, "Sufficiency: it fires when the text is put in, beyond its base rate. Necessity: it stops when the text is taken out. C: 1 if the simulation in its place changes no prediction, 0 if no better than its mean."),
    make("h3", {}, "Null"), make("p", {}, `${twin} ${told}`), make("h3", {}, "Examples"), body);
  $("unit").scrollTop = 0;
  const chunk = column.chunk[row];
  if (Number.isNaN(chunk)) return show(row, null);
  const file = units.chunks[chunk];
  if (examples.has(file)) return show(row, examples.get(file).get(row));
  waiting.set(file, row);
  load(file);
}
function explorerExamples(file, rows) {
  examples.set(file, new Map(rows));
  const row = waiting.get(file);
  if (row === opened) show(row, examples.get(file).get(row));
}
function show(row, found) {
  if (!found || !found.examples.length) return $("examples").replaceChildren(make("p", { class: "muted" }, "No examples were kept of this unit."));
  const top = (key) => found.examples.reduce((most, e) => e[key].reduce((a, b) => Math.max(a, Math.abs(b)), most), 0);
  const most = { values: top("values"), predicted: top("predicted") };
  const choice = make("select", { "aria-label": "Rows to show" }, ...[["", "both rows"], ["only-values", "the unit only"], ["only-predicted", "the program only"]].map(([value, label]) => make("option", { value }, label)));
  choice.onchange = () => { $("examples").className = choice.value; };
  const parts = [make("p", { class: "muted" }, choice, " orange below 0 ", make("span", { class: "bar" }), ` blue above 0; deepest at ${number(most.values)} (unit) and ${number(most.predicted)} (program), the largest in these examples. Point at a token for its value. The frame marks the token that an example is about. Active: among the strongest hundredth of training, on the side of 0 on which the unit goes further.`)];
  const sought = found.examples.some((e) => e.at !== undefined); // older folders hold no counter-examples
  for (const [chosen, said] of [["top", "Where the unit is most active"], ["random", "Drawn at random"], ["wrong", "Where the program is most wrong"],
    ["false alarm", "✗ Counter-examples: the program says active, the unit is not"], ["missed", "✗ Counter-examples: the unit is active, the program does not say so"]]) {
    const part = found.examples.filter((e) => e.chosen === chosen), missing = sought && said.startsWith("✗") && !part.length;
    if (part.length || missing) parts.push(make("h3", {}, said), ...part.map((e) => example(e, most)));
    if (missing) parts.push(make("p", { class: "muted" }, "None among the test tokens, or no program that could be wrong."));
  }
  $("examples").replaceChildren(...parts);
}
function example(e, most) {
  const line = (key, label) => make("div", { class: "tokens " + key }, make("b", {}, label), make("span", {}, ...e.tokens.map((token, i) => {
    const value = e[key][i], share = most[key] ? Math.min(1, Math.abs(value) / most[key]) : 0;
    const node = make("i", { title: `${label} ${number(value)}` }, token.replace(/\n/g, "⏎"));
    if (i === e.at) node.className = "at";
    if (share > 0.02) node.style.backgroundColor = `rgba(${value > 0 ? "0, 114, 178" : "213, 94, 0"}, ${(0.65 * share).toFixed(3)})`;
    return node;
  })));
  const said = e.at === undefined ? "" : `; at the framed token: unit ${number(e.values[e.at])}, program ${number(e.predicted[e.at])}`;
  const counter = e.chosen === "false alarm" || e.chosen === "missed";
  return make("div", { class: counter ? "example counter" : "example" }, line("values", "unit"), line("predicted", "program"), make("div", { class: "muted" }, "from " + e.corpus + said));
}

// The card as a picture: the program's r with its interval, the baselines, each corpus, and the gain, on one axis.
function card(row) {
  const value = (name) => column[name][row], corpora = units.columns.filter((name) => name.startsWith("corpus:"));
  const lines = [["program, held-out text", "r", "c0"], ["unigram baseline", "unigram", "c1"], ["bigram baseline", "bigram", "c1"], ["position baseline", "position", "c1"],
    ...corpora.map((name) => ["program on " + name.slice(7), name, "c2"]), ["worst corpus", "minimum", "c2"], ["gain over best baseline", "gain", "c0"]];
  const all = lines.flatMap(([, name]) => [value(name), value(name + "_low" in column ? name + "_low" : name)]).filter((x) => !Number.isNaN(x));
  const least = Math.min(0, Math.floor(4 * Math.min(0, ...all)) / 4), left = 158, right = 436, step = 22, bottom = lines.length * step + 6;
  const x = (v) => left + (right - left) * (v - least) / (1 - least);
  const label = (v, y, said, more = {}) => make("text", { x: v, y, "font-size": 12, fill: "var(--ink)", ...more }, said);
  const svg = make("svg", { viewBox: `0 0 600 ${bottom + 40}`, role: "img", "aria-label": "Pearson r of the program beside its baselines and by corpus" });
  for (let tick = least; tick <= 1; tick += 0.25) {
    svg.append(make("line", { x1: x(tick), x2: x(tick), y1: 0, y2: bottom, stroke: tick ? "var(--grid)" : "var(--muted)" }), label(x(tick), bottom + 15, tick.toFixed(2).replace("-", "−"), { "text-anchor": "middle", fill: "var(--muted)" }));
  }
  svg.append(label((left + right) / 2, bottom + 33, "Pearson r, and in the last row a difference of two", { "text-anchor": "middle" }));
  lines.forEach(([said, name, colour], i) => {
    const y = i * step + 14, v = value(name), from = (column[name + "_low"] || [])[row], to = (column[name + "_high"] || [])[row], paint = `var(--${colour})`;
    svg.append(label(left - 10, y + 4, said.length > 24 ? said.slice(0, 23) + "…" : said, { "text-anchor": "end" }));
    if (Number.isNaN(v)) return svg.append(label(right + 10, y + 4, NONE, { "font-style": "italic", fill: "var(--muted)" }));
    const bounded = from === from && to === to && from !== undefined;
    if (bounded) svg.append(make("line", { x1: x(from), x2: x(to), y1: y, y2: y, stroke: paint, "stroke-width": 2.5 }));
    const a = x(v);
    svg.append(colour === "c0" ? make("circle", { cx: a, cy: y, r: 5, fill: paint }) : colour === "c2" ? make("rect", { x: a - 4.5, y: y - 4.5, width: 9, height: 9, fill: paint }) : make("path", { d: `M${a - 6} ${y}L${a} ${y - 6}L${a + 6} ${y}L${a} ${y + 6}Z`, fill: paint }));
    svg.append(label(right + 10, y + 4, number(v) + (bounded ? ` (${number(from)} to ${number(to)})` : "")));
  });
  return svg;
}

function load(name) {
  const node = make("script", { src: `data/${name}.js` });
  node.onerror = () => { $(name === "units" ? "count" : "examples").textContent = `data/${name}.js cannot be read. Keep the folder data beside this page, or run superalign explore again.`; };
  node.onload = () => node.remove();
  document.head.append(node);
}
for (const id of ["kind", "layer", "found"]) $(id).addEventListener("change", filter);
for (const id of ["words", "least"]) $(id).addEventListener("input", () => units && filter());
$("sort").addEventListener("change", () => sort($("sort").value, largestFirst($("sort").value)));
$("turn").addEventListener("click", () => sort(sortBy, !down));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("table").addEventListener("scroll", draw);
addEventListener("resize", () => units && draw());
addEventListener("hashchange", fromHash);
$("table").addEventListener("keydown", (event) => {
  const page = Math.floor($("table").clientHeight / HIGH) - 1;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: view.length - 1 }[event.key];
  if (to !== undefined && view.length) { event.preventDefault(); move(to); }
  if (event.key === "Enter" && at >= 0) { location.hash = text(view[at])[0]; $("unit").focus({ preventScroll: true }); }
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/INPUT|SELECT/.test(document.activeElement.tagName)) { event.preventDefault(); $("words").focus(); }
  if (event.key === "Escape") $("table").focus();
});
requestAnimationFrame(() => setTimeout(() => load("units"), 0)); // the page is painted before its data are read
