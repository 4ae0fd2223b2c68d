// The table of trials: sorted, filtered, a page at a time.

const PAGE = 50;
const FIRST_COLUMNS = [
  "nmse_db", "mse", "mel_distance_db", "excess_bits", "gap_db", "usage", "encoder_growth", "seconds", "error",
];
const sorting = { column: null, down: false };
let pageNumber = 0;
let matching = [];
const haystacks = new Array(size);

function columnsShown() {
  if (at("every-column").checked) return data.columns.map((column) => column.name);
  const varies = (name) => byName.get(name)?.some((value) => value !== byName.get(name)[0]);
  const first = ["trial", "status", "seed", ...[...data.by, ...data.within].filter(varies), data.metric, ...FIRST_COLUMNS];
  return [...new Set(first.filter((name) => byName.has(name)))];
}

function words(row) {
  if (haystacks[row] === undefined) {
    const cells = data.columns.map((column) => column.values[row] ?? "");
    haystacks[row] = [methodName(data.method[row]), data.tasks[data.task[row]], ...cells].join("\n").toLowerCase();
  }
  return haystacks[row];
}

/** A test of rows from what the user typed: words, and conditions on columns. */
function parsed(query) {
  const tests = query.trim().split(/\s+/).filter(Boolean).map((word) => {
    const [, name, sign, wanted] = word.match(/^([^<>=]+)(<=|>=|=|<|>)(.*)$/) || [];
    const values = name && byName.get(name);
    if (!values || wanted === "") return (row) => words(row).includes(word.toLowerCase());
    const bound = Number(wanted);
    if (sign === "=") return (row) => String(values[row] ?? "") === wanted || values[row] === bound;
    const signs = { "<": (v) => v < bound, ">": (v) => v > bound, "<=": (v) => v <= bound, ">=": (v) => v >= bound };
    const holds = signs[sign];
    return (row) => typeof values[row] === "number" && holds(values[row]);
  });
  return (row) => tests.every((test) => test(row));
}

/** Missing values last, whichever way the column is sorted. */
function compareRows(values, down) {
  return (a, b) => {
    const [x, y] = [values[a], values[b]];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const numbers = typeof x === "number" && typeof y === "number";
    const order = numbers ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return (down ? -order : order) || a - b;
  };
}

function refreshTrials() {
  const test = parsed(at("filter").value);
  const wanted = at("status").value;
  const shown = at("shown-only").checked ? new Set(shownRows()) : null;
  matching = [];
  for (let row = 0; row < size; row++) {
    if ((!wanted || status[row] === wanted) && (!shown || shown.has(row)) && test(row)) matching.push(row);
  }
  const values = byName.get(sorting.column);
  if (values) matching.sort(compareRows(values, sorting.down));
  pageNumber = 0;
  drawTrials();
}

function drawTrials() {
  const columns = columnsShown();
  const head = element("tr", {}, ...columns.map(headCell));
  const pages = Math.max(1, Math.ceil(matching.length / PAGE));
  const rows = matching.slice(pageNumber * PAGE, (pageNumber + 1) * PAGE).map((row) => trialRow(row, columns));
  const caption = element("caption", { class: "hidden" }, "Trials");
  at("trial-table").replaceChildren(caption, element("thead", {}, head), element("tbody", {}, ...rows));
  const count = (number) => number.toLocaleString("en");
  at("page").textContent = `${count(matching.length)} of ${count(size)} trials, page ${pageNumber + 1} of ${pages}`;
  at("previous").disabled = pageNumber === 0;
  at("next").disabled = pageNumber >= pages - 1;
}

function headCell(name) {
  const sorted = sorting.column === name ? (sorting.down ? "descending" : "ascending") : "none";
  const mark = element("span", { "aria-hidden": "true" }, { ascending: " \u25b2", descending: " \u25bc", none: "" }[sorted]);
  const own = { type: "button", title: wordsOf(name), "data-column": name, onclick: () => sortBy(name) };
  const button = element("button", own, name, mark);
  return element("th", { scope: "col", "aria-sort": sorted }, button);
}

function trialRow(row, columns) {
  const cells = columns.map((name) => {
    const value = byName.get(name)[row];
    if (name === "trial") {
      const pressed = { "aria-pressed": String(state.selected === row), "data-row": row, onclick: () => select(row) };
      return element("th", { scope: "row" }, element("button", { type: "button", class: "trial", ...pressed }, String(value)));
    }
    const text = name === "status" && broken(row) ? `\u2715 ${value}` : short(value);
    const kind = typeof value === "number" ? "number" : name === "error" ? "long" : null;
    return element("td", { class: kind, title: text.length > 60 ? text : null }, text);
  });
  const classes = [broken(row) ? "broken" : "", state.selected === row ? "chosen" : ""].join(" ").trim();
  return element("tr", { class: classes || null, "data-row": row }, ...cells);
}

function sortBy(name) {
  sorting.down = sorting.column === name ? !sorting.down : false;
  sorting.column = name;
  refreshTrials();
  for (const button of document.querySelectorAll("#trial-table thead button")) {
    if (button.dataset.column === name) button.focus();
  }
}

/** Turn to the page that holds a row, if any does. */
function turnTo(row) {
  const index = matching.indexOf(row);
  if (index >= 0) pageNumber = Math.floor(index / PAGE);
  drawTrials();
  return index >= 0;
}

function startTrials() {
  const count = (name) => status.filter((one) => one === name).length;
  const names = [...new Set(status)].filter(Boolean);
  options(at("status"), [["", "all"], ...names.map((name) => [name, `${name} (${count(name)})`])], "");
  let waiting = 0;
  at("filter").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refreshTrials, 120);
  });
  for (const id of ["status", "shown-only"]) at(id).addEventListener("change", refreshTrials);
  at("every-column").addEventListener("change", drawTrials);
  at("previous").addEventListener("click", () => { pageNumber -= 1; drawTrials(); });
  at("next").addEventListener("click", () => { pageNumber += 1; drawTrials(); });
  at("trial-controls").addEventListener("submit", (event) => event.preventDefault());
  refreshTrials();
}
