// Curves over training steps: medians and ranges of methods, single trials, and the selected one.

function bandsOf(metric) {
  const bands = data.curves.bands[metric] || { method: [] };
  const task = data.tasks.length > 1 ? state.task : 0;
  const found = [];
  bands.method.forEach((method, index) => {
    if (!state.shown.has(method) || bands.task[index] !== task) return;
    const [low, middle, high] = [bands.low[index], bands.middle[index], bands.high[index]];
    found.push({ method, steps: data.curves.grids[bands.grid[index]], low, middle, high });
  });
  return found.sort((a, b) => place(b.method) - place(a.method)); // the best is drawn last, on top
}

function curvesOf(metric, wanted) {
  const lines = data.curves.lines[metric] || { trial: [] };
  const found = [];
  lines.trial.forEach((row, index) => {
    if (wanted(row)) found.push({ row, steps: data.curves.grids[lines.grid[index]], values: lines.values[index] });
  });
  return found;
}

/** What a logarithmic axis cannot show becomes a gap. */
function gaps(values, log) {
  return log ? values.map((value) => (value > 0 ? value : null)) : values;
}

/** A method's median, and around it the range of its trials. */
function bandTraces({ method, steps, low, middle, high }, log, each) {
  const edge = { type: "scatter", mode: "lines", x: steps, line: { width: 0 }, hoverinfo: "skip", showlegend: false };
  const name = safe(methodName(method));
  const text = middle.map((value, i) => {
    return `${name}<br>step ${steps[i]}: median ${short(value)}<br>${short(low[i])} to ${short(high[i])}`;
  });
  const line = { color: colour(method), width: 2, dash: dash(method) };
  const median = { type: "scatter", mode: "lines", name: legendName(method), x: steps, y: gaps(middle, log), line, text };
  median.hoverinfo = "text";
  if (each) return [median];
  const fill = { fill: "tonexty", fillcolor: translucent(colour(method), 0.18) };
  return [{ ...edge, y: gaps(low, log) }, { ...edge, y: gaps(high, log), ...fill }, median];
}

function trialTrace({ row, steps, values }, log, own) {
  const text = values.map((value, i) => `${safe(trialLabel(row))}<br>step ${steps[i]}: ${short(value)}`);
  const rows = values.map(() => row);
  return { type: "scatter", x: steps, y: gaps(values, log), customdata: rows, text, hoverinfo: "text", ...own };
}

function drawCurves(id, metric, log, each) {
  const bands = bandsOf(metric);
  const shown = new Set(each ? shownRows() : []);
  const single = (curve) => {
    const method = data.method[curve.row];
    const line = { color: colour(method), width: 1, dash: dash(method) };
    return trialTrace(curve, log, { mode: "lines", opacity: 0.55, showlegend: false, line });
  };
  const line = { color: theme("--ink"), width: 3 };
  const selected = { mode: "lines+markers", name: "selected trial", marker: { size: 5 }, line };
  const traces = [
    ...bands.flatMap((band) => bandTraces(band, log, each)),
    ...curvesOf(metric, (row) => shown.has(row)).map(single),
    ...curvesOf(metric, (row) => row === state.selected).map((curve) => trialTrace(curve, log, selected)),
  ];
  const legend = { ...LEGEND, traceorder: "reversed" };
  const layout = { xaxis: axis("step", false), yaxis: axis(titled(metric), log), showlegend: true, legend };
  drawInto(id, traces, layout, 340 + legendHeight(bands.length));
  at(`${id}-text`).textContent = curvesText(bands, each);
}

function curvesText(bands, each) {
  if (!bands.length) return "No curve of the methods and task shown.";
  const last = bands.map((band) => [methodName(band.method), band.middle[band.middle.length - 1]]).sort((a, b) => a[1] - b[1]);
  const said = ([name, value]) => `${name} (${short(value, 3)})`;
  const what = each
    ? "Thick lines are medians, thin ones trials."
    : "Lines are medians, bands reach from the lowest to the highest trial.";
  if (last.length < 2) return what;
  const ends = `the lowest median has ${said(last[0])}, the highest ${said(last[last.length - 1])}`;
  return `${what} At the last step of each, in ${taskName(state.task)}, ${ends}.`;
}
