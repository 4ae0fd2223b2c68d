// A metric of every trial, a line of points a method; failures stand beyond the worst value.

/** Whether an axis can show a value. */
function drawable(value, log) {
  return finite(value) && (!log || value > 0);
}

/** Where failures are drawn: on the side that is worse. */
function failureRail(values, metric, log) {
  const scaled = values.map((value) => (log ? Math.log10(value) : value));
  let [low, high] = [Infinity, -Infinity];
  for (const value of scaled) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low > high) [low, high] = [0, 1];
  const room = 0.08 * (high - low || 1);
  const rail = data.metrics[metric].sign === -1 ? low - room : high + room;
  return log ? 10 ** rail : rail;
}

/** What the plot shows: rows that are drawn as points, rows that failed, and where in height each belongs. */
function byMethodView() {
  const rows = shownRows();
  const values = byName.get(state.metric) || [];
  const tried = new Set(rows.map((row) => data.method[row]));
  const methods = shownMethods().filter((method) => tried.has(method));
  const lines = new Map(methods.map((method, index) => [method, methods.length - 1 - index]));
  const tasks = state.task === EVERY ? data.tasks.map((_, index) => index) : [state.task];
  const apart = tasks.length <= MANY_TASKS;
  const lane = (task) => (apart ? 0.8 * ((tasks.indexOf(task) + 0.5) / tasks.length - 0.5) : 0);
  // The same for every drawing, so that a redraw moves nothing.
  const jitter = (row) => (apart ? 0.45 / tasks.length : 0.6) * (((row * 0.618034) % 1) - 0.5);
  return {
    rows, values, methods, lines, tasks, apart, lane,
    good: rows.filter((row) => completed(row) && drawable(values[row], state.log)),
    failures: rows.filter(broken),
    height: (row) => lines.get(data.method[row]) - lane(data.task[row]) + jitter(row),
  };
}

function drawByMethod() {
  const { metric, log } = state;
  const view = byMethodView();
  const { values, methods, lines, good, failures, height } = view;
  const rail = failureRail(good.map((row) => values[row]), metric, log);
  const hover = (row) => `${safe(trialLabel(row))}<br>${safe(metric)} ${safe(short(values[row]))}<br>${safe(status[row])}`;
  const traces = methods.map((method) => {
    const own = good.filter((row) => data.method[row] === method);
    const marker = { color: colour(method), symbol: symbol(method), size: 8, opacity: 0.6 };
    return points(safe(methodName(method)), own.map((row) => values[row]), own.map(height), own.map(hover), own, marker);
  });
  if (view.apart) traces.push(...methods.map((method) => meansOf(view, method)));
  const cross = { color: theme("--bad"), symbol: "x-thin", size: 9, line: { width: 2, color: theme("--bad") } };
  const rails = failures.map(() => rail);
  traces.push(points("diverged or failed", rails, failures.map(height), failures.map(hover), failures, cross));
  const row = state.selected;
  if (row !== null && (good.includes(row) || failures.includes(row))) {
    const ring = { symbol: "circle-open", size: 18, color: theme("--ink"), line: { width: 3 } };
    const place = broken(row) ? rail : values[row];
    traces.push({ ...points("selected", [place], [height(row)], null, null, ring), hoverinfo: "skip" });
  }
  const names = methods.map((method) => wrapped(methodName(method), narrow() ? 14 : 26));
  const border = (y) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: theme("--line"), width: 1 },
  });
  const rows = { tickvals: [...lines.values()], ticktext: names, range: [-0.6, methods.length - 0.4], showgrid: false };
  const layout = {
    xaxis: axis(titled(metric), log),
    yaxis: { ...axis("", false), nticks: 0, ...rows },
    shapes: methods.slice(1).map((method) => border(lines.get(method) + 0.5)),
  };
  at("by-method-title").textContent = `${metric} by method`;
  drawInto("by-method", traces, layout, Math.max(240, 90 + 48 * methods.length));
  at("by-method-text").textContent = byMethodText(view);
}

/** Means of a method in each task, with intervals. */
function meansOf({ lines, tasks, lane }, method) {
  const found = tasks
    .map((task) => [task, meanOf(state.metric, method, task)])
    .filter(([, one]) => one && drawable(one.mean, state.log));
  const ink = theme("--ink");
  const name = safe(methodName(method));
  const text = found.map(([task, one]) => {
    return `mean ${safe(interval(one))}, ${plural(one.count, "seed")}<br>${name}, ${safe(taskName(task))}`;
  });
  const marker = { symbol: "line-ns", size: 14, line: { width: 3, color: ink } };
  const half = found.map(([, one]) => (one.low === null ? 0 : one.high - one.mean));
  const heights = found.map(([task]) => lines.get(method) - lane(task));
  return {
    ...points("mean", found.map(([, one]) => one.mean), heights, text, null, marker),
    error_x: { type: "data", array: half, color: ink, thickness: 1.5, width: 4 },
  };
}

/** Which of the methods shown have the ends of a task's means; of all tasks together, which are first and last ranked. */
function extremes(methods) {
  const said = (method, one) => `${methodName(method)} (${interval(one)})`;
  if (state.task !== EVERY) {
    const means = methods
      .map((method) => [method, meanOf(state.metric, method, state.task)])
      .filter(([, found]) => found)
      .sort((a, b) => a[1].mean - b[1].mean);
    if (means.length < 2) return "";
    return `The lowest mean ${state.metric} has ${said(...means[0])}, the highest ${said(...means[means.length - 1])}.`;
  }
  const lists = data.rankings[state.metric] || [];
  if (lists.length !== 1 || !lists[0].blocks) return "";
  const shown = lists[0].methods.map((method, index) => [method, lists[0].centers[index]])
    .filter(([method]) => methods.includes(method))
    .map(([method, [middle, low, high]]) => [method, { mean: middle, low, high }]);
  if (shown.length < 2) return "";
  const [first, last] = [shown[0], shown[shown.length - 1]];
  return `Of these the first in the ranking by ${state.metric} is ${said(...first)}, the last ${said(...last)}.`;
}

function byMethodText({ rows, methods, tasks, apart, good, failures }) {
  const skipped = rows.filter((row) => status[row] === "skipped").length;
  const undrawn = rows.length - good.length - failures.length - skipped;
  const absent = state.shown.size - methods.length;
  const parts = [good.length ? `Every point is a trial of ${taskName(state.task)}.` : "No completed trial to draw."];
  if (good.length) parts.push(extremes(methods));
  if (good.length && apart) {
    const order = tasks.length > 1 ? `, from top to bottom ${tasks.map(taskName).join(", ")}` : "";
    parts.push(`Bars${order}: means over seeds with Student's interval ${data.interval}.`);
  }
  const have = absent === 1 ? "has" : "have";
  if (absent) parts.push(`${absent} of the methods shown ${have} no trial of ${taskName(state.task)}.`);
  if (failures.length) parts.push(`${failures.length} diverged or failed: crosses beyond the worst value, and in no mean.`);
  if (skipped) parts.push(`${skipped} skipped, not drawn.`);
  if (undrawn) parts.push(`${undrawn} completed without a value that this axis can show.`);
  return parts.filter(Boolean).join(" ");
}
