// The table of trials: sorted, filtered, a page at a time.

const PAGE = 50;
const FIRST_COLUMNS = ["status", "seed", "nmse_db", "mse", "mel_distance_db", "gap_db", "usage", "encoder_growth", "seconds", "error"];
const sorting = { column: null, down: false };
let pageNumber = 0;
let matching = [];
const haystacks = new Array(size);

function columnsShown() {
  if (at("every-column").checked) return data.columns.map((column) => column.name);
  const constant = new Set(data.columns.filter((column) => column.values.every((value) => value === column.values[0])).map((column) => column.name));
  const settings = [...data.by, ...data.within].filter((name) => byName.has(name) && !constant.has(name));
  const first = [...FIRST_COLUMNS.slice(0, 2), ...settings, data.metric, ...FIRST_COLUMNS.slice(2)];
  return ["trial", ...new Set(first.filter((name) => byName.has(name)))];
}

function words(row) {
  haystacks[row] ??= [data.methods[data.method[row]].name, data.tasks[data.task[row]], ...data.columns.map((column) => column.values[row] ?? "")].join("\n").toLowerCase();
  return haystacks[row];
}

/** A test of rows from what the user typed: words, and conditions on columns. */
function parsed(query) {
  const tests = query.trim().split(/\s+/).filter(Boolean).map((word) => {
    const [, name, sign, wanted] = word.match(/^([^<>=]+)(<=|>=|=|<|>)(.*)$/) || [];
    const values = name && byName.get(name);
    if (!values || wanted === "") return (row) => words(row).includes(word.toLowerCase());
    const bound = Number(wanted);
    if (sign === "=") return (row) => String(values[row] ?? "") === wanted || (typeof values[row] === "number" && values[row] === bound);
    const holds = { "<": (v) => v < bound, ">": (v) => v > bound, "<=": (v) => v <= bound, ">=": (v) => v >= bound }[sign];
    return (row) => typeof values[row] === "number" && holds(values[row]);
  });
  return (row) => tests.every((test) => test(row));
}

/** Missing values last, whichever way the column is sorted. */
function compareRows(values, down) {
  return (a, b) => {
    const [x, y] = [values[a], values[b]];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
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
  const head = element("tr", {}, ...columns.map((name) => {
    const sorted = sorting.column === name ? (sorting.down ? "descending" : "ascending") : "none";
    const mark = { ascending: " \u25b2", descending: " \u25bc", none: "" }[sorted];
    const button = element("button", { type: "button", "data-column": name, onclick: () => sortBy(name) }, name, element("span", { "aria-hidden": "true" }, mark));
    return element("th", { scope: "col", "aria-sort": sorted }, button);
  }));
  const pages = Math.max(1, Math.ceil(matching.length / PAGE));
  const rows = matching.slice(pageNumber * PAGE, (pageNumber + 1) * PAGE).map((row) => trialRow(row, columns));
  at("trial-table").replaceChildren(element("caption", { class: "hidden" }, "Trials"), element("thead", {}, head), element("tbody", {}, ...rows));
  at("page").textContent = `${matching.length.toLocaleString("en")} of ${size.toLocaleString("en")} trials, page ${pageNumber + 1} of ${pages}`;
  at("previous").disabled = pageNumber === 0;
  at("next").disabled = pageNumber >= pages - 1;
}

function trialRow(row, columns) {
  const cells = columns.map((name) => {
    const value = byName.get(name)[row];
    if (name === "trial") {
      const pressed = String(state.selected === row);
      return element("th", { scope: "row" }, element("button", { type: "button", class: "trial", "aria-pressed": pressed, "data-row": row, onclick: () => select(row) }, String(value)));
    }
    const text = name === "status" && broken(row) ? `\u2715 ${value}` : short(value);
    return element("td", { class: typeof value === "number" ? "number" : name === "error" ? "long" : null, title: text.length > 60 ? text : null }, text);
  });
  const classes = [broken(row) ? "broken" : "", state.selected === row ? "chosen" : ""].join(" ").trim();
  return element("tr", { class: classes || null, "data-row": row }, ...cells);
}

function sortBy(name) {
  sorting.down = sorting.column === name ? !sorting.down : false;
  sorting.column = name;
  refreshTrials();
  for (const button of document.querySelectorAll("#trial-table thead button")) if (button.dataset.column === name) button.focus();
}

/** Turn to the page that holds a row, if any does. */
function turnTo(row) {
  const index = matching.indexOf(row);
  if (index >= 0) pageNumber = Math.floor(index / PAGE);
  drawTrials();
  return index >= 0;
}

function startTrials() {
  options(at("status"), [["", "all"], ...[...new Set(status)].filter(Boolean).map((name) => [name, `${name} (${status.filter((one) => one === name).length})`])], "");
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
