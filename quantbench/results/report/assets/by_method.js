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
  const rail = data.metrics[metric] === -1 ? low - room : high + room;
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
    xaxis: axis(metric + direction(metric), log),
    yaxis: { ...axis("", false), nticks: 0, ...rows },
    shapes: methods.slice(1).map((method) => border(lines.get(method) + 0.5)),
  };
  at("by-method-title").textContent = `${metric} by method`;
  drawInto("by-method", traces, layout, Math.max(240, 90 + 48 * methods.length));
  at("by-method-text").textContent = byMethodText(view);
}

/** Means of a method in each task, with intervals. */
function meansOf({ good, values, lines, tasks, lane }, method) {
  const own = good.filter((row) => data.method[row] === method);
  const found = tasks
    .map((task) => [task, mean(own.filter((row) => data.task[row] === task).map((row) => values[row]))])
    .filter(([, one]) => one);
  const ink = theme("--ink");
  const name = safe(methodName(method));
  const text = found.map(([task, one]) => `mean ${safe(interval(one))}<br>${name}, ${safe(taskName(task))}`);
  const marker = { symbol: "line-ns", size: 14, line: { width: 3, color: ink } };
  const half = found.map(([, one]) => (one.low === null ? 0 : one.high - one.mean));
  const heights = found.map(([task]) => lines.get(method) - lane(task));
  return {
    ...points("mean", found.map(([, one]) => one.mean), heights, text, null, marker),
    error_x: { type: "data", array: half, color: ink, thickness: 1.5, width: 4 },
  };
}

function byMethodText({ rows, values, methods, tasks, apart, good, failures }) {
  const means = methods
    .map((method) => [method, mean(good.filter((row) => data.method[row] === method).map((row) => values[row]))])
    .filter(([, found]) => found)
    .sort((a, b) => a[1].mean - b[1].mean);
  const skipped = rows.filter((row) => status[row] === "skipped").length;
  const undrawn = rows.length - good.length - failures.length - skipped;
  const absent = state.shown.size - methods.length;
  const said = ([method, found]) => `${methodName(method)} (${short(found.mean, 3)})`;
  const parts = [means.length ? `Every point is a trial of ${taskName(state.task)}.` : "No completed trial to draw."];
  if (means.length > 1) {
    parts.push(`The lowest mean ${state.metric} has ${said(means[0])}, the highest ${said(means[means.length - 1])}.`);
  }
  if (means.length && apart) {
    const order = tasks.length > 1 ? `, from top to bottom ${tasks.map(taskName).join(", ")}` : "";
    parts.push(`Bars: means with 95 % intervals (Student's t) over seeds${order}.`);
  }
  const have = absent === 1 ? "has" : "have";
  if (absent) parts.push(`${absent} of the methods shown ${have} no trial of ${taskName(state.task)}.`);
  if (failures.length) parts.push(`${failures.length} diverged or failed: crosses beyond the worst value.`);
  if (skipped) parts.push(`${skipped} skipped, not drawn.`);
  if (undrawn) parts.push(`${undrawn} completed without a value that this axis can show.`);
  return parts.join(" ");
}
