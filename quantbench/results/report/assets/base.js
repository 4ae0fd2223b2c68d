// The data, what is chosen, and small helpers. All text of files reaches the page through textContent, or through safe() where
// plotly draws it, for plotly reads some HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const byName = new Map(data.columns.map((column) => [column.name, column.values]));
const size = data.method.length;
const EVERY = -1;
const FIRST_SHOWN = 12;
const GREW = 10;
const FIRST_GROWN = 3;
const MANY_TASKS = 6;
const MANY_TRIALS = 60;
const GREY = { colour: "muted", marker: "o", dash: "solid" };
const TOLD_APART = FIRST_SHOWN + FIRST_GROWN;

const status = byName.get("status") || new Array(size).fill(null);
const seeds = byName.get("seed") || new Array(size).fill(null);
const trialNames = byName.get("trial");
const completed = (row) => status[row] === "completed";
const broken = (row) => status[row] !== "completed" && status[row] !== "skipped";

const ranked = data.methods.map((_, index) => index).sort((a, b) => place(a) - place(b) || a - b);

const state = {
  metric: data.metric || Object.keys(data.metrics)[0] || null,
  task: firstTask(),
  log: false,
  shown: firstShown(),
  grey: new Set(),
  selected: null,
  curve: null,
  curveLog: false,
  growthLog: true,
  each: false,
  source: EVERY,
};

/** The best methods, and those whose encoders grew most: a plot without them would say that all is well. */
function firstShown() {
  const ends = new Map();
  for (const panel of data.pictures.growth.encoder_growth?.panels ?? []) {
    for (const { method, y } of panel.series.filter((group) => group.look.role === "mean")) {
      method.forEach((one, index) => {
        const end = y[index][y[index].length - 1];
        if (end >= GREW) ends.set(one, Math.max(end, ends.get(one) || 0));
      });
    }
  }
  const grown = [...ends].sort((a, b) => b[1] - a[1]).slice(0, FIRST_GROWN).map(([method]) => method);
  return new Set([...ranked.slice(0, FIRST_SHOWN), ...grown]);
}

/** Methods shown that are grey: those beyond the first so many, and those that look like one before them. */
function greyed() {
  const looks = new Set();
  const found = new Set();
  for (const method of state.shown) {
    const { colour, marker, dash } = data.methods[method];
    const look = `${colour} ${marker} ${dash}`;
    if (looks.size >= TOLD_APART || looks.has(look)) found.add(method);
    else looks.add(look);
  }
  return found;
}

/** The colour of a line or a point, which is another one where the page is dark. */
function stroke(style) {
  return (style.dark && window.matchMedia("(prefers-color-scheme: dark)").matches) ? style.dark : ink(style.colour);
}

/** How a method is drawn: of more than can be told apart, the later ones are grey. */
function styleOf(method) {
  return state.grey.has(method) ? GREY : data.methods[method];
}

/** All tasks together where they are few; else the one that most methods were tried on. */
function firstTask() {
  if (data.tasks.length < 2) return 0;
  if (data.tasks.length <= MANY_TASKS) return EVERY;
  const tried = data.tasks.map(() => new Set());
  data.task.forEach((task, row) => tried[task].add(data.method[row]));
  const counts = tried.map((methods) => methods.size);
  return counts.indexOf(counts.reduce((most, count) => Math.max(most, count)));
}

function place(method) {
  return data.methods[method].place ?? Infinity;
}

function methodName(method) {
  return data.methods[method].name;
}

/** The element with this id. */
function at(id) {
  return document.getElementById(id);
}

/** A new element with text, attributes and children. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Fill a select with [value, text] pairs. */
function options(select, pairs, chosen) {
  const one = ([value, text]) => element("option", { value, selected: String(value) === String(chosen) }, text);
  select.replaceChildren(...pairs.map(one));
}

/** Text that plotly draws as it is: it reads some HTML, and formulas between dollar signs. */
function safe(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "&#36;");
}

/** Safe text in lines of about so many characters, three at most. */
function wrapped(text, width) {
  const lines = [""];
  for (const word of String(text).split(" ")) {
    const last = lines[lines.length - 1];
    if (last && last.length + word.length >= width) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  const cut = lines.length > 3 ? [...lines.slice(0, 3), "\u2026"] : lines;
  return cut.map((line) => safe(line.length > 2 * width ? `${line.slice(0, 2 * width)}\u2026` : line)).join("<br>");
}

/** Four significant digits. */
function short(value, digits = 4) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(digits - 2).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(digits)));
}

function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

function finite(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function taskName(task) {
  if (task === EVERY) return "all tasks";
  return data.tasks[task] || "the one task";
}

function interval(found, signed = false) {
  const sign = (value) => (signed && value > 0 ? "+" : "") + short(value, 3);
  return found.low === null ? sign(found.mean) : `${sign(found.mean)} [${short(found.low, 3)}, ${short(found.high, 3)}]`;
}

/** Rows of the methods and the task shown. */
function shownRows() {
  const rows = [];
  for (let row = 0; row < size; row++) {
    if (state.shown.has(data.method[row]) && (state.task === EVERY || data.task[row] === state.task)) rows.push(row);
  }
  return rows;
}

/** What a column holds, in a line; nothing where nobody told. */
function wordsOf(name) {
  return Object.hasOwn(data.words, name) ? data.words[name][1] : null;
}

/** What a trial is, in one line. */
function trialLabel(row) {
  const task = data.tasks.length > 1 ? `, ${taskName(data.task[row])}` : "";
  return `${data.methods[data.method[row]].name}${task}, seed ${short(seeds[row])}`;
}
