// Two methods: what the ranking's test says of them, and their differences task by task over the seeds that both have. All of
// it was computed when the page was made; here it is looked up.

const lineColumns = new Map(); // by metric: lines by pair of methods

/** The lines of a pair by a metric, as B less A, whichever way round they are kept. */
function linesOf(metric, first, second) {
  const { lines } = data.compare.metrics[metric];
  if (!lineColumns.has(metric)) {
    const places = new Map();
    lines.first.forEach((one, index) => {
      const key = `${one} ${lines.second[index]}`;
      if (!places.has(key)) places.set(key, []);
      places.get(key).push(index);
    });
    lineColumns.set(metric, places);
  }
  const places = lineColumns.get(metric);
  const kept = places.get(`${first} ${second}`);
  return (kept || places.get(`${second} ${first}`) || []).map((index) => {
    const line = Object.fromEntries(Object.entries(lines).map(([name, values]) => [name, values[index]]));
    return kept ? line : turned(line);
  });
}

function turned(line) {
  const negative = (value) => (value === null ? null : 0 - value);
  const ends = { mean: negative(line.mean), low: negative(line.high), high: negative(line.low) };
  return { ...line, ...ends, a: line.b, b: line.a };
}

/** What a list's test says of two of its methods: in short, and why. */
function verdictOf(list, first, second) {
  const methods = `${list.methods.length} methods`;
  if (!list.separable && list.blocks >= list.needed) return ["No verdict", `of ${methods} no pairs are tested.`];
  if (!list.separable) {
    const few = `Cannot be told from ${list.over}`;
    return [few, `at least ${list.needed}, each with all ${methods} of the ranking, are needed to tell any two apart.`];
  }
  const places = [list.tested.indexOf(first), list.tested.indexOf(second)];
  const [higher, lower] = [Math.min(...places), Math.max(...places)];
  const pair = (higher * (2 * list.tested.length - higher - 1)) / 2 + lower - higher - 1;
  const test = `Wilcoxon's signed-rank test over ${list.over}, Holm over all pairs of the ranking`;
  const better = places[0] < places[1] ? "A" : "B";
  const said = {
    "=": "Not significant",
    ">": `${better} better`,
    x: `They differ significantly, but not one way, for ${better} is ahead in the ranking and the ranks speak for the other`,
  };
  return [said[list.verdicts[pair]], `${test}, p = ${list.p[pair]}.`];
}

/** The verdict of every list that has both; why there is none where none has. */
function verdicts(metric, first, second) {
  const told = data.metrics[metric];
  if (!told.sign) return [["No verdict", `neither more nor less ${metric} is better by itself.`]];
  if (told.noGoal) return [["No verdict", `nothing is ranked by ${metric}, for ${told.noGoal}.`]];
  const lists = data.rankings[metric];
  const both = lists.filter((list) => list.methods.includes(first) && list.methods.includes(second));
  const at = (list, [said, why]) => [list.words ? `At ${list.words}: ${said}` : said, why];
  if (both.length) return both.map((list) => at(list, verdictOf(list, first, second)));
  const [a, b] = [first, second].map((method) => {
    return lists.filter((list) => list.methods.includes(method)).map((list) => list.words ?? "").join(", ");
  });
  const lacking = [first, second].filter((method) => !lists.some((list) => list.methods.includes(method))).map(methodName);
  if (lacking.length) return [["No verdict", `${metric} was not measured with ${lacking.join(" and ")}.`]];
  const why = `A has ${a}, B has ${b} (${data.compare.rate}). A higher rate alone makes a better codec.`;
  return [["No verdict: their rates differ", why]];
}

/** Each task and seed that both have: the values of A and B. */
function pairsOf(metric, first, second) {
  return data.compare.metrics[metric].cells.flatMap(({ task, seeds: own, values }) => {
    const [a, b] = [values[first], values[second]];
    if (!a || !b) return [];
    const all = own.map((seed, index) => ({ task, seed, a: a[index], b: b[index] }));
    return all.filter((one) => one.a !== null && one.b !== null);
  });
}

function refreshCompare() {
  const metric = at("compare-metric").value;
  const [first, second] = [Number(at("first").value), Number(at("second").value)];
  describeMetric("compare-metric", "compare-words");
  const lines = first === second ? [] : linesOf(metric, first, second);
  const difference = (line) => (line.mean === null ? "" : interval(line, true));
  const name = (task) => (task === EVERY ? "all tasks" : taskName(task));
  const rows = lines.map((line) => {
    return [name(line.task), String(line.pairs), String(line.failed), short(line.a, 3), short(line.b, 3), difference(line)];
  });
  fill("compare-table", ["task", "seeds", "failed", "A", "B", `B - A ${data.interval}`], rows);
  const cell = (value) => (value === "failed" ? "\u2715 failed" : short(value));
  const pairs = first === second ? [] : pairsOf(metric, first, second);
  const line = (one) => [taskName(one.task), short(one.seed), cell(one.a), cell(one.b)];
  fill("pairs", ["task", "seed", "A", "B"], pairs.map(line));
  at("pairs-box").hidden = !pairs.length;
  at("compare-table").parentElement.hidden = !rows.length;
  const overall = lines.find((line) => line.task === EVERY) || lines[0];
  at("compare-text").replaceChildren(...compareText(metric, first, second, overall, overall ? difference(overall) : ""));
}

function compareText(metric, first, second, overall, difference) {
  const parts = [`A is ${methodName(first)}, B is ${methodName(second)}. `];
  if (first === second) return [...parts, "Choose two different methods."];
  for (const [said, why] of verdicts(metric, first, second)) parts.push(element("strong", {}, said), `: ${why} `);
  if (!overall) return [...parts, "They have no seed of a task in common."];
  if (difference) {
    const each = overall.task === EVERY ? ", each the mean over tasks" : "";
    parts.push(`B - A = ${difference} ${metric} over ${plural(overall.pairs, "paired seed")}${each}`);
    const interval = ": Student's interval of the paired differences, of this pair of methods alone; the verdict is not by it";
    parts.push(`${overall.low === null ? "" : interval}. `);
  }
  if (overall.failed) parts.push(`${plural(overall.failed, "pair")} of which one failed: counted, and in no mean.`);
  return parts;
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
  if (!data.compare || data.compare.methods.length < 2) {
    at("compare").hidden = true;
    return;
  }
  const methods = data.compare.methods;
  const choices = methods.map((method) => [method, methodName(method)]);
  options(at("first"), choices, methods[0]);
  // The best with the next one that it has something in common with.
  const second = methods.slice(1, FIRST_SHOWN + 1).find((method) => pairsOf(data.metric, methods[0], method).length);
  options(at("second"), choices, second ?? methods[1]);
  options(at("compare-metric"), Object.keys(data.compare.metrics).map((name) => [name, name]), data.metric);
  at("compare-note").textContent = data.compare.note;
  at("compare-controls").addEventListener("change", refreshCompare);
  at("compare-controls").addEventListener("submit", (event) => event.preventDefault());
  refreshCompare();
}
