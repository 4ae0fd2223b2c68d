// Two methods, task by task, over the seeds that both have.

/** Values of a method by task and seed; null for a trial that did not complete. Trials of one seed are averaged. */
function cells(method, metric) {
  const values = byName.get(metric) || [];
  const found = new Map();
  for (let row = 0; row < size; row++) {
    if (data.method[row] !== method || status[row] === "skipped" || seeds[row] === null) continue;
    const key = `${data.task[row]} ${seeds[row]}`;
    const cell = found.get(key) || { task: data.task[row], seed: seeds[row], values: [], failed: 0 };
    if (completed(row) && finite(values[row])) cell.values.push(values[row]);
    else cell.failed += 1;
    found.set(key, cell);
  }
  for (const cell of found.values()) cell.value = cell.failed ? null : mean(cell.values).mean;
  return found;
}

function pairsOf(first, second, metric) {
  const others = cells(second, metric);
  const pairs = [];
  for (const [key, a] of cells(first, metric)) {
    const b = others.get(key);
    if (!b) continue;
    const difference = a.value === null || b.value === null ? null : b.value - a.value;
    pairs.push({ task: a.task, seed: a.seed, a: a.value, b: b.value, difference });
  }
  return pairs.sort((x, y) => x.task - y.task || x.seed - y.seed);
}

function verdict(found, metric) {
  if (!found) return "no pair";
  if (found.low === null) return "one pair: no interval";
  if (found.low <= 0 && found.high >= 0) return "not significant";
  const sign = data.metrics[metric];
  if (!sign) return found.mean > 0 ? "B higher" : "B lower";
  return found.mean * sign < 0 ? "B better" : "A better";
}

function refreshCompare() {
  const metric = at("compare-metric").value;
  const [first, second] = [Number(at("first").value), Number(at("second").value)];
  const pairs = pairsOf(first, second, metric);
  const tasks = [...new Set(pairs.map((pair) => pair.task))];
  const summary = (own) => {
    const good = own.filter((pair) => pair.difference !== null);
    const found = mean(good.map((pair) => pair.difference));
    const average = (side) => short(mean(good.map((pair) => pair[side]))?.mean, 3);
    const counts = [String(good.length), String(own.length - good.length)];
    return [...counts, average("a"), average("b"), found ? interval(found, true) : "", verdict(found, metric)];
  };
  const rows = tasks.map((task) => [taskName(task), ...summary(pairs.filter((pair) => pair.task === task))]);
  const overall = summary(pairs);
  if (tasks.length > 1) rows.push(["all tasks", ...overall]);
  fill("compare-table", ["task", "pairs", "failed", "A", "B", "B - A [95 %]", "verdict"], rows);
  const cell = (value) => (value === null ? "\u2715 failed" : short(value));
  const line = (pair) => [taskName(pair.task), short(pair.seed), cell(pair.a), cell(pair.b), short(pair.difference, 3)];
  fill("pairs", ["task", "seed", "A", "B", "B - A"], pairs.map(line));
  let text = `A is ${methodName(first)}, B is ${methodName(second)}. `;
  if (first === second) text += "Choose two different methods.";
  else if (!pairs.length) text += "They have no task and seed in common.";
  else {
    const difference = overall[4] ? `, B - A = ${overall[4]} ${metric}` : "";
    text += `Over ${pairs.length} pairs of task and seed: ${overall[5]}${difference}. `;
    text += "Intervals are Student's t over paired differences; pairs of which one failed are counted and left out. ";
    text += "Not adjusted for the number of comparisons that you look at.";
  }
  at("compare-text").textContent = text;
}

/** Fill a table with text. */
function fill(id, header, rows) {
  const most = 1000;
  const body = rows.slice(0, most).map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))));
  if (rows.length > most) {
    body.push(element("tr", {}, element("td", { colspan: header.length }, `... and ${rows.length - most} more`)));
  }
  const head = element("tr", {}, ...header.map((name) => element("th", { scope: "col" }, name)));
  at(id).replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

function startCompare() {
  const pairs = ranked.map((method) => [method, methodName(method)]);
  options(at("first"), pairs, ranked[0]);
  // The best with the next one that it has something in common with.
  const second = ranked.slice(1, FIRST_SHOWN + 1).find((method) => pairsOf(ranked[0], method, state.metric).length);
  options(at("second"), pairs, second ?? ranked[1] ?? ranked[0]);
  options(at("compare-metric"), Object.keys(data.metrics).map((name) => [name, name]), state.metric);
  at("compare-controls").addEventListener("change", refreshCompare);
  at("compare-controls").addEventListener("submit", (event) => event.preventDefault());
  if (!state.metric || ranked.length < 2) at("compare").hidden = true;
  else refreshCompare();
}
