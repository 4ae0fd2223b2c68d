// Plots. Each has a function that draws it from `state`, and a sentence below that says what it shows.

const SYMBOLS = { o: "circle", s: "square", "^": "triangle-up", D: "diamond", v: "triangle-down", P: "cross", X: "hexagon", "*": "star" };
const DASHES = { solid: "solid", dashed: "dash", dotted: "dot", dashdot: "dashdot" };
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

function theme(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colour(method) {
  const own = data.methods[method].colour;
  return own === "#000000" ? theme("--ink") : own;
}

function translucent(hex, alpha) {
  const [red, green, blue] = [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  return `rgba(${red},${green},${blue},${alpha})`;
}

function axis(title, log) {
  const narrow = window.innerWidth < 600;
  return {
    title: { text: safe(title), standoff: 8 }, type: log ? "log" : "linear", gridcolor: theme("--line"), linecolor: theme("--line"),
    zeroline: false, automargin: true, exponentformat: "power", nticks: narrow ? 5 : 0, tickfont: { size: narrow ? 11 : 12 },
  };
}

function drawInto(id, traces, layout, height) {
  const box = at(id);
  const full = {
    height, margin: { l: 10, r: 12, t: 8, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
    font: { family: "system-ui, sans-serif", size: 13, color: theme("--ink") }, showlegend: false, dragmode: "zoom",
    hoverlabel: { bgcolor: theme("--panel"), bordercolor: theme("--muted"), font: { color: theme("--ink") }, align: "left" },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: theme("--muted"), activecolor: theme("--ink") }, ...layout,
  };
  Plotly.react(box, traces, full, CONFIG);
  if (!box.dataset.listens) {
    box.dataset.listens = "yes";
    box.on("plotly_click", (event) => {
      const point = event.points.find((one) => Number.isInteger(one.customdata));
      if (point) select(point.customdata);
    });
  }
}

/** Drop what a logarithmic axis cannot show; gives how many were dropped. */
function drawable(value, log) {
  return finite(value) && (!log || value > 0);
}

/** Where failures are drawn: beyond the worst value, on the side that is worse. */
function failureRail(values, metric, log) {
  const scaled = values.map((value) => (log ? Math.log10(value) : value));
  let low = Infinity, high = -Infinity;
  for (const value of scaled) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) [low, high] = [0, 1];
  const room = 0.08 * (high - low || 1);
  const rail = data.metrics[metric] === -1 ? low - room : high + room;
  return log ? 10 ** rail : rail;
}

/** A fixed place within a row of points, so that a redraw moves nothing. */
function jitter(row) {
  return (((row * 0.618034) % 1) - 0.5);
}

function drawByMethod() {
  const { metric, log } = state;
  const values = byName.get(metric) || [];
  const methods = shownMethods();
  const lines = new Map(methods.map((method, index) => [method, methods.length - 1 - index]));
  const rows = shownRows();
  const good = rows.filter((row) => completed(row) && drawable(values[row], log));
  const failures = rows.filter(broken);
  const rail = failureRail(good.map((row) => values[row]), metric, log);
  const tasks = state.task === EVERY ? data.tasks.map((_, index) => index) : [state.task];
  const apart = tasks.length <= MANY_TASKS;
  const lane = (row) => (apart ? (tasks.indexOf(data.task[row]) + 0.5) / tasks.length - 0.5 : 0);
  const spread = apart ? 0.45 / tasks.length : 0.6;
  const height = (row) => lines.get(data.method[row]) - 0.8 * lane(row) + spread * jitter(row);
  const hover = (row) => `${safe(trialLabel(row))}<br>${safe(metric)} ${safe(short(values[row]))}<br>${safe(status[row])}`;
  const traces = methods.map((method) => {
    const own = good.filter((row) => data.method[row] === method);
    return {
      type: "scatter", mode: "markers", name: safe(data.methods[method].name), x: own.map((row) => values[row]), y: own.map(height),
      customdata: own, text: own.map(hover), hoverinfo: "text",
      marker: { color: colour(method), symbol: SYMBOLS[data.methods[method].marker], size: 8, opacity: 0.6 },
    };
  });
  if (apart) traces.push(...meansOf(good, values, methods, tasks, lines));
  traces.push({
    type: "scatter", mode: "markers", name: "diverged or failed", x: failures.map(() => rail), y: failures.map(height), customdata: failures,
    text: failures.map(hover), hoverinfo: "text",
    marker: { color: theme("--bad"), symbol: "x-thin", size: 9, line: { width: 2, color: theme("--bad") } },
  });
  if (state.selected !== null && rows.includes(state.selected)) {
    const row = state.selected;
    traces.push({
      type: "scatter", mode: "markers", name: "selected", hoverinfo: "skip", y: [height(row)],
      x: [completed(row) && drawable(values[row], log) ? values[row] : broken(row) ? rail : null],
      marker: { symbol: "circle-open", size: 18, color: theme("--ink"), line: { width: 3 } },
    });
  }
  const width = window.innerWidth < 600 ? 14 : 26;
  const layout = {
    xaxis: axis(metric + direction(metric), log),
    yaxis: {
      ...axis("", false), nticks: 0, tickvals: [...lines.values()], ticktext: methods.map((method) => wrapped(data.methods[method].name, width)),
      range: [-0.6, methods.length - 0.4], showgrid: false,
    },
    shapes: methods.slice(1).map((method) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: lines.get(method) + 0.5, y1: lines.get(method) + 0.5, line: { color: theme("--line"), width: 1 },
    })),
  };
  at("by-method-title").textContent = `${metric} by method`;
  drawInto("by-method", traces, layout, Math.max(240, 90 + 48 * methods.length));
  at("by-method-text").textContent = methodsText(rows, good, failures, values, methods, apart, tasks);
}

function meansOf(good, values, methods, tasks, lines) {
  const traces = [];
  for (const method of methods) {
    const x = [], y = [], plus = [], text = [];
    tasks.forEach((task, index) => {
      const found = mean(good.filter((row) => data.method[row] === method && data.task[row] === task).map((row) => values[row]));
      if (!found) return;
      x.push(found.mean);
      y.push(lines.get(method) - 0.8 * ((index + 0.5) / tasks.length - 0.5));
      plus.push(found.low === null ? 0 : found.high - found.mean);
      text.push(`mean ${safe(interval(found))}<br>${safe(data.methods[method].name)}, ${safe(taskName(task))}`);
    });
    traces.push({
      type: "scatter", mode: "markers", name: "mean", x, y, text, hoverinfo: "text", marker: { symbol: "line-ns", size: 14, line: { width: 3, color: theme("--ink") } },
      error_x: { type: "data", array: plus, color: theme("--ink"), thickness: 1.5, width: 4 },
    });
  }
  return traces;
}

function methodsText(rows, good, failures, values, methods, apart, tasks) {
  const means = methods
    .map((method) => [method, mean(good.filter((row) => data.method[row] === method).map((row) => values[row]))])
    .filter(([, found]) => found);
  const skipped = rows.filter((row) => status[row] === "skipped").length;
  const undrawn = rows.length - good.length - failures.length - skipped;
  const parts = [];
  if (means.length) {
    means.sort((a, b) => a[1].mean - b[1].mean);
    const [low, high] = [means[0], means[means.length - 1]];
    parts.push(`Every point is a trial of ${taskName(state.task)}.`);
    if (means.length > 1) parts.push(`The lowest mean ${state.metric} has ${data.methods[low[0]].name} (${short(low[1].mean, 3)}), the highest ${data.methods[high[0]].name} (${short(high[1].mean, 3)}).`);
    if (apart) parts.push("Bars: means with 95 % intervals (Student's t) over seeds" + (tasks.length > 1 ? `, from top to bottom ${tasks.map(taskName).join(", ")}.` : "."));
  } else parts.push("No completed trial to draw.");
  if (failures.length) parts.push(`${failures.length} diverged or failed: crosses beyond the worst value.`);
  if (skipped) parts.push(`${skipped} skipped, not drawn.`);
  if (undrawn) parts.push(`${undrawn} completed without a value that this axis can show.`);
  return parts.join(" ");
}

function bandsOf(metric) {
  const bands = data.curves.bands[metric];
  const found = [];
  const task = data.tasks.length > 1 ? state.task : 0;
  if (bands) bands.method.forEach((method, index) => {
    if (state.shown.has(method) && bands.task[index] === task) {
      found.push({ method, steps: data.curves.grids[bands.grid[index]], low: bands.low[index], middle: bands.middle[index], high: bands.high[index] });
    }
  });
  return found.sort((a, b) => place(b.method) - place(a.method));
}

function curvesOf(metric, wanted) {
  const lines = data.curves.lines[metric];
  const found = [];
  if (lines) lines.trial.forEach((row, index) => {
    if (wanted(row)) found.push({ row, steps: data.curves.grids[lines.grid[index]], values: lines.values[index] });
  });
  return found;
}

/** Values that a logarithmic axis cannot show as gaps. */
function gaps(values, log) {
  return log ? values.map((value) => (value > 0 ? value : null)) : values;
}

function drawCurves(id, metric, log, each) {
  const bands = bandsOf(metric);
  const shown = new Set(shownRows());
  const traces = [];
  for (const band of bands) {
    const { method, steps } = band;
    const name = safe(data.methods[method].name);
    const common = { type: "scatter", mode: "lines", x: steps, name, legendgroup: String(method) };
    if (!each) {
      traces.push({ ...common, y: gaps(band.low, log), line: { width: 0 }, hoverinfo: "skip", showlegend: false });
      traces.push({ ...common, y: gaps(band.high, log), line: { width: 0 }, fill: "tonexty", fillcolor: translucent(colour(method), 0.18), hoverinfo: "skip", showlegend: false });
    }
    traces.push({
      ...common, y: gaps(band.middle, log), line: { color: colour(method), width: 2, dash: DASHES[data.methods[method].dash] },
      text: band.middle.map((value, i) => `${name}<br>step ${steps[i]}: median ${short(value)}<br>${short(band.low[i])} to ${short(band.high[i])}`), hoverinfo: "text",
    });
  }
  const single = each ? curvesOf(metric, (row) => shown.has(row)) : [];
  for (const { row, steps, values } of single) {
    const method = data.method[row];
    traces.push({
      type: "scatter", mode: "lines", x: steps, y: gaps(values, log), customdata: values.map(() => row), opacity: 0.55, showlegend: false,
      line: { color: colour(method), width: 1, dash: DASHES[data.methods[method].dash] }, text: values.map((value, i) => `${safe(trialLabel(row))}<br>step ${steps[i]}: ${short(value)}`), hoverinfo: "text",
    });
  }
  for (const { row, steps, values } of curvesOf(metric, (one) => one === state.selected)) {
    traces.push({
      type: "scatter", mode: "lines+markers", name: "selected trial", x: steps, y: gaps(values, log), customdata: values.map(() => row), marker: { size: 5 },
      line: { color: theme("--ink"), width: 3 }, text: values.map((value, i) => `${safe(trialLabel(row))}<br>step ${steps[i]}: ${short(value)}`), hoverinfo: "text",
    });
  }
  const legend = { orientation: "h", x: 0, xanchor: "left", y: -0.22, yanchor: "top", font: { size: 12 }, traceorder: "reversed" };
  const few = window.innerWidth < 600;
  const layout = { xaxis: axis("step", false), yaxis: axis(metric, log), showlegend: true, legend };
  drawInto(id, traces, layout, 340 + (few ? 24 : 13) * Math.min(bands.length, 20));
  const last = bands.map((band) => [data.methods[band.method].name, band.middle[band.middle.length - 1]]).sort((a, b) => a[1] - b[1]);
  let text = each ? "Thick lines are medians, thin ones trials. " : "Lines are medians, bands reach from the lowest to the highest trial. ";
  if (last.length > 1) text += `At the last step of each, in ${taskName(state.task)}, the lowest median has ${last[0][0]} (${short(last[0][1], 3)}), the highest ${last[last.length - 1][0]} (${short(last[last.length - 1][1], 3)}).`;
  at(`${id}-text`).textContent = last.length ? text : "No curve of the methods and task shown.";
}

function drawRate() {
  const rates = data.rates;
  const metric = rates.limits[state.metric] || !rates.limits.nmse_db ? state.metric : "nmse_db";
  const values = byName.get(metric) || [];
  const limit = rates.limits[metric];
  const rows = [];
  for (let row = 0; row < size; row++) if (state.shown.has(data.method[row]) && rates.source[row] === state.source) rows.push(row);
  const good = rows.filter((row) => completed(row) && finite(values[row]) && finite(rates.spent[row]));
  const failures = rows.filter(broken).length;
  const traces = shownMethods().map((method) => {
    const groups = new Map();
    for (const row of good) if (data.method[row] === method) {
      if (!groups.has(rates.nominal[row])) groups.set(rates.nominal[row], []);
      groups.get(rates.nominal[row]).push(row);
    }
    const points = [...groups.values()].map((own) => [mean(own.map((row) => rates.spent[row])).mean, mean(own.map((row) => values[row])), own]).sort((a, b) => a[0] - b[0]);
    return {
      type: "scatter", mode: "lines+markers", name: safe(data.methods[method].name), x: points.map((one) => one[0]), y: points.map((one) => one[1].mean),
      line: { color: colour(method), width: 1.5, dash: DASHES[data.methods[method].dash] }, marker: { size: 9, symbol: SYMBOLS[data.methods[method].marker] },
      customdata: points.map((one) => one[2][0]), hoverinfo: "text",
      text: points.map((one) => `${safe(data.methods[method].name)}<br>${safe(rates.label)} ${short(one[0], 3)}<br>${safe(metric)} ${safe(interval(one[1]))}, ${one[1].count} trials`),
    };
  }).filter((trace) => trace.x.length);
  if (limit) {
    const points = good.filter((row) => finite(limit[row])).map((row) => [rates.spent[row], limit[row], row]).sort((a, b) => a[0] - b[0]);
    traces.unshift({
      type: "scatter", mode: "markers", name: "limit at the bits spent", x: points.map((one) => one[0]), y: points.map((one) => one[1]), customdata: points.map((one) => one[2]),
      marker: { symbol: "line-ew", size: 11, line: { width: 2, color: theme("--muted") } }, text: points.map((one) => `limit ${short(one[1], 3)}<br>of ${safe(trialLabel(one[2]))}`), hoverinfo: "text",
    });
  }
  const legend = { orientation: "h", x: 0, y: -0.22, yanchor: "top", font: { size: 12 } };
  at("rate-title").textContent = `Rate and ${metric}`;
  drawInto("rate", traces, { xaxis: axis(rates.label, false), yaxis: axis(metric + direction(metric), false), showlegend: true, legend }, 360 + 13 * traces.length);
  let text = `Points are means over the seeds of one nominal rate${rates.sources.length > 1 ? `, of ${rates.sources[state.source] || "the one source"}` : ""}.`;
  if (limit) text += " Grey dashes are the least distortion possible at the bits that each trial spent.";
  if (failures) text += ` ${failures} trials diverged or failed and are not in any mean.`;
  at("rate-text").textContent = good.length ? text : "No completed trial of the methods shown has a rate.";
}
