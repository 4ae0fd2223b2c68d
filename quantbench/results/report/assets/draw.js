// Draws the pictures that results/plots/picture.py describes, with plotly. What they show was decided and computed before; here
// methods and tasks are shown and hidden, axes turned logarithmic, trials selected.

const SYMBOLS = {
  o: "circle", s: "square", "^": "triangle-up", D: "diamond", v: "triangle-down", P: "cross", X: "hexagon", "*": "star",
  x: "x-thin",
};
const DASHES = { solid: "solid", dashed: "dash", dotted: "dot", dashdot: "dashdot" };
const LARGER = { "*": 1.6, P: 1.3, X: 1.2, "^": 1.2, v: 1.2 }; // for they are thin
const INKS = { ink: "--ink", muted: "--muted", bad: "--bad", paper: "--paper" };
const NAMES = { trials: "trials", failed: "diverged or failed", limit: "Shannon's limit" };
const TITLE = 24; // pixels above a panel
const BELOW = 36; // and below one, for its numbers
const LINE = 24; // of a row's name
const INCH = 84;
const TOLD = 3;
const SILENT = /^(scale|group|stem|selected.*)$/;
const HOVER = "%{text}<br>step %{x}: %{y:.4~g}<extra></extra>";

// These buttons only: plotly would add one that uploads the plot's data.
const BUTTONS = [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]];
const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: BUTTONS, plotlyServerURL: "" };
const CLEAR = "rgba(0,0,0,0)";

/** A colour of the style sheet, which knows whether the page is dark. */
function theme(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function ink(colour) {
  return INKS[colour] ? theme(INKS[colour]) : colour;
}

function translucent(hex, alpha) {
  const [red, green, blue] = [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
  return `rgba(${red},${green},${blue},${alpha})`;
}

function narrow() {
  return window.innerWidth < 600;
}

/** Series of a panel whose methods are shown, one by one: they are kept as columns. */
function seriesOf(picture, panel) {
  return panel.series.flatMap(({ look, style, ...columns }) => columns.y.map((_, index) => index)
    .filter((index) => !columns.method || state.shown.has(columns.method[index]))
    .map((index) => {
      const one = Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[index]]));
      const { rows, y, x } = one;
      const places = Array.isArray(y) ? y : rows.map((row) => y + look.spread * (((row * 0.618034) % 1) - 0.5));
      const column = byName.get(picture.column);
      const steps = x === undefined ? rows.map((row) => column?.[row]) : Array.isArray(x) ? x : data.grids[x];
      return { ...look, style: style ?? styleOf(one.method), ...one, x: steps, y: places };
    }));
}

/** Trials' own curves in a panel: those of broken trials, and every one where that is asked for. A series a method. */
function trialLines(metric, panel) {
  const found = new Map();
  for (const { row, steps, values } of curvesOf(metric, (row) => {
    return state.shown.has(data.method[row]) && data.tasks[data.task[row]] === panel.title && (state.each || broken(row));
  })) {
    const method = data.method[row];
    const own = found.get(method) ?? { x: [], y: [], rows: [] };
    found.set(method, own);
    for (let i = 0; i < steps.length; i++) {
      own.x.push(steps[i]);
      own.y.push(values[i]);
      own.rows.push(row);
    }
    for (const [name, value] of [["x", null], ["y", null], ["rows", row]]) own[name].push(value);
  }
  const look = { role: "trial", line: 0.7, mark: 0 };
  return [...found].map(([method, own]) => ({ ...look, method, style: styleOf(method), ...own }));
}

function curvesOf(metric, wanted) {
  const lines = data.lines[metric] || { trial: [] };
  const found = [];
  lines.trial.forEach((row, index) => {
    if (wanted(row)) found.push({ row, steps: data.grids[lines.grid[index]], values: lines.values[index] });
  });
  return found;
}

/** What marks the selected trial: a ring about its point, its own curve in full. */
function selectedOf(metric, panel, series) {
  const row = state.selected;
  if (row === null) return [];
  const marked = series.filter((one) => (one.role === "trials" || one.role === "failed") && one.rows.includes(row));
  const rings = marked.map((one) => {
    const index = one.rows.indexOf(row);
    const style = { colour: "ink", marker: "ring", dash: "solid" };
    return { ...one, role: "selected", style, mark: 13, opacity: 1, x: [one.x[index]], y: [one.y[index]], rows: [row] };
  });
  if (data.tasks[data.task[row]] !== panel.title) return rings;
  const style = { colour: "ink", marker: "o", dash: "solid" };
  const own = curvesOf(metric, (other) => other === row);
  return [...rings, ...own.map(({ steps, values }) => {
    return { role: "selected trial", style, line: 2.2, mark: 3.5, x: steps, y: values, rows: steps.map(() => row) };
  })];
}

/** Where points at an edge stand: beyond the others, or at the end of an axis that has one. */
function edgeOf(side, axis, series) {
  const limits = axis.limits;
  if (limits) return side === "left" ? limits[0] + 0.02 * (limits[1] - limits[0]) : limits[1] - 0.02 * (limits[1] - limits[0]);
  let [low, high] = [Infinity, -Infinity];
  for (const one of series.filter((other) => !other.edge)) {
    for (const value of one.x) if (shows(value, axis)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  if (low > high) return axis.log ? 1 : 0;
  if (axis.log) return side === "left" ? low / (high / low) ** 0.08 / 1.1 : high * (high / low) ** 0.08 * 1.1;
  const room = 0.08 * (high - low || 1);
  return side === "left" ? low - room : high + room;
}

/** Crosses of failures beyond an axis stand at its end. */
function atEdge(values, { limits, log }) {
  if (!limits || (log && limits[0] <= 0)) return values;
  return values.map((value) => (finite(value) ? Math.min(Math.max(value, limits[0]), limits[1]) : value));
}

/** Whether an axis can show a value. */
function shows(value, axis) {
  return finite(value) && (!axis.log || value > 0);
}

/** What an axis cannot show becomes a gap. */
function gaps(values, axis) {
  return values.map((value) => (shows(value, axis) ? value : null));
}

/** Text under the mouse, a point a text. */
function hoverOf(one, picture, panel) {
  const value = picture.y.names ? picture.x.title : picture.y.title;
  const at = (i) => (picture.y.names ? [] : [`${picture.x.title}: ${short(one.x[i])}`]);
  if (one.rows && one.role !== "mean") {
    const said = (i) => (one.edge ? status[one.rows[i]] : `${value}: ${short((picture.y.names ? one.x : one.y)[i])}`);
    return one.rows.map((row, i) => [trialLabel(row), ...at(i), said(i)].map(safe).join("<br>"));
  }
  const where = [one.method === undefined ? nameOf(one) : methodName(one.method), panel.title].filter(Boolean);
  return one.y.map((y, i) => {
    const found = { mean: one.across ? one.x[i] : y, low: one.low?.[i] ?? null, high: one.high?.[i] ?? null };
    const count = one.seeds ? [plural(one.seeds[i], "seed")] : [];
    return [...where, ...at(i), `${value}: ${interval(found)}`, ...count].map(safe).join("<br>");
  });
}

/** What each trial is, for as many points; of a million points, made once a trial. */
function labelsOf(rows) {
  let [last, label] = [null, ""];
  return rows.map((row) => {
    if (row !== last) [last, label] = [row, safe(trialLabel(row))];
    return label;
  });
}

/** What a series is called. */
function nameOf(one) {
  if (one.method === undefined || one.role === "failed") return NAMES[one.role] ?? one.role;
  return one.role === "mean" ? legendName(one.method) : `${legendName(one.method)} ${one.role}`;
}

/** Plotly's traces of a series. */
function tracesOf(one, { x: across, y: up, anchor }, picture, panel) {
  const colour = stroke(one.style);
  const group = { showlegend: false, legendgroup: String(one.method ?? one.role) };
  const base = { type: "scatter", x: gaps(one.x, across), ...anchor, ...group };
  const trace = { ...base, y: gaps(one.y, up), name: nameOf(one), opacity: one.opacity ?? 1 };
  trace.cliponaxis = !one.mark || one.role === "trials"; // marks at an edge are whole
  trace.mode = [one.line && "lines", one.mark && "markers"].filter(Boolean).join("+") || "none";
  if (one.line) trace.line = { color: colour, width: 1.3 * one.line, dash: DASHES[one.style.dash] };
  if (one.mark) trace.marker = markerOf(one, colour);
  if (SILENT.test(one.role)) trace.hoverinfo = "skip";
  else if (one.role === "trial") Object.assign(trace, { text: labelsOf(one.rows), hovertemplate: HOVER });
  else Object.assign(trace, { text: hoverOf(one, picture, panel), hoverinfo: "text" });
  if (one.rows) trace.customdata = one.rows;
  if (!one.low) return [trace];
  const { low, high } = one;
  if (one.band) {
    const edge = { ...base, name: "interval", mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
    const fill = { fill: "tonexty", fillcolor: translucent(colour, one.band) };
    return [{ ...edge, y: gaps(low, up) }, { ...edge, y: gaps(high, up), ...fill }, trace];
  }
  const away = (ends) => ends.map((end, i) => (end === null ? 0 : Math.abs(end - (one.across ? one.x : one.y)[i])));
  const ends = { array: away(high), arrayminus: away(low) };
  const bars = { type: "data", symmetric: false, ...ends, color: colour, thickness: 1.6, width: 3 };
  return [{ ...trace, [one.across ? "error_x" : "error_y"]: bars }];
}

function markerOf(one, colour) {
  const marker = { color: colour, symbol: SYMBOLS[one.style.marker], size: 1.6 * one.mark * (LARGER[one.style.marker] ?? 1) };
  if (one.mark < 4) Object.assign(marker, { symbol: "circle", size: 2 * one.mark });
  if (one.style.marker === "x") marker.line = { width: 2, color: colour };
  else if (one.style.marker === "ring") Object.assign(marker, { symbol: "circle-open", line: { width: 3 } });
  else if (one.mark >= 4) marker.line = { width: 1, color: theme("--paper") };
  if (one.sparse) marker.maxdisplayed = 6;
  return marker;
}

/** A name short enough for a legend, with what ended badly. */
function legendName(method) {
  const name = methodName(method);
  return safe(name.length > 40 ? `${name.slice(0, 40)}\u2026` : name);
}

function axisOf(axis, extra) {
  const found = {
    type: axis.log ? "log" : "linear", gridcolor: theme("--line"), linecolor: theme("--line"), zeroline: false,
    automargin: true, exponentformat: "power", nticks: narrow() ? 5 : axis.log ? 7 : 0,
    tickfont: { size: narrow() ? 11 : 12 }, ...extra,
  };
  if (axis.limits && !axis.log) found.range = axis.limits;
  else if (axis.limits && axis.limits[0] > 0) found.range = axis.limits.map(Math.log10);
  if (axis.nonnegative && !axis.log) found.rangemode = "nonnegative";
  if (axis.ticks) Object.assign(found, { tickvals: axis.ticks, showgrid: false, showline: false, side: "top" });
  return found;
}

/** Names in the place of numbers, those of hidden methods left out; where each place of the whole axis is then. */
function namesOf(axis, series) {
  const used = new Set(series.map((one) => one.method));
  const kept = axis.names.map((_, place) => place).filter((place) => !axis.methods || used.has(axis.methods[place]));
  return { kept, places: new Map(kept.map((place, index) => [place, index])) };
}

/** What is drawn in a panel, in the order in which it covers. */
function drawnIn(picture, panel, metric) {
  const series = [...seriesOf(picture, panel), ...(data.lines[metric] && !picture.y.names ? trialLines(metric, panel) : [])];
  // Among trials' own curves, marks of a mean would only be in the way of the mouse.
  for (const one of series) if (one.sparse && state.each) one.mark = 0;
  for (const one of series) if (one.role === "failed" && !one.edge) one.y = atEdge(one.y, picture.y);
  for (const one of series) if (one.edge) one.x = one.y.map(() => edgeOf(one.edge, picture.x, series));
  return [...series, ...selectedOf(picture.y.names ? null : metric, panel, series)];
}

/** Where panels stand, and how large they are. */
function gridOf(picture, count, width, kept) {
  const columns = Math.max(1, Math.min(count, picture.columns, Math.floor(width / (picture.y.names ? 250 : 290))));
  const lines = kept.map((place) => wrapped(picture.y.names[place], narrow() ? 14 : 30).split("<br>").length);
  const rows = Math.max(60, LINE * Math.max(1.2, ...lines) * kept.length);
  const room = picture.y.names ? rows : picture.y.ticks ? INCH * picture.size[1] : narrow() ? 220 : 270;
  const pitch = room + TITLE + BELOW;
  const height = Math.ceil(count / columns) * pitch - BELOW;
  const letters = Math.floor((width - (picture.y.names ? 180 : 60)) / columns / 8);
  return { count, columns, width, room, pitch, height, letters, kept };
}

/** Both axes of a panel, and its title. */
function axesOf(picture, panel, place, { count, columns, width, room, pitch, height, letters, kept }) {
  const [column, row, n] = [place % columns, Math.floor(place / columns), place ? place + 1 : ""];
  const [first, last, gap] = [column === 0, place + columns >= count, columns > 1 ? Math.max(0.015, 15 / width) : 0];
  const [from, top] = [column / columns + (first ? 0 : gap), 1 - (row * pitch + TITLE) / height];
  const title = (text, wide) => ({ title: { text: wrapped(text, wide), standoff: 6, font: { size: 13 } } });
  const ticks = (names) => {
    return { tickvals: names.map((_, i) => i), ticktext: names.map((name) => wrapped(name, narrow() ? 14 : 30)), nticks: 0 };
  };
  const x = axisOf(picture.x, {
    domain: [from, (column + 1) / columns - (column < columns - 1 ? gap : 0)], anchor: `y${n}`,
    ...(last ? title(picture.x.title, letters) : {}),
  });
  const y = axisOf(picture.y, {
    domain: [top - room / height, top], anchor: `x${n}`, showticklabels: first, visible: !picture.y.ticks,
    ...(first ? title(picture.y.title, 36) : {}), ...(place ? { matches: "y" } : {}),
  });
  if (picture.y.names) {
    Object.assign(y, ticks(kept.map((one) => picture.y.names[one])), { range: [kept.length - 0.4, -0.6] });
  }
  if (picture.x.names) {
    const range = [-0.5, picture.x.names.length - 0.5];
    Object.assign(x, ticks(picture.x.names), { tickangle: -40, showgrid: false, showticklabels: last, range });
    y.showgrid = false;
  }
  const heading = {
    text: `<b>${wrapped(panel.title, letters)}</b>`, showarrow: false, xref: "paper", yref: "paper", align: "left",
    x: from, xanchor: "left", y: top, yanchor: "bottom", font: { size: 12 },
  };
  return { layout: { [`xaxis${n}`]: x, [`yaxis${n}`]: y }, heading: picture.panels.length > 1 ? [heading] : [], n };
}

/** Draw panels of a picture into an element. */
function drawPicture(id, picture, panels, metric) {
  const box = at(id);
  const all = panels.map((panel) => drawnIn(picture, panel, metric));
  const { kept, places } = picture.y.names ? namesOf(picture.y, all.flat()) : { kept: [], places: null };
  if (picture.y.methods) {
    for (const one of all.flat()) one.y = one.y.map((y) => places.get(Math.round(y)) + y - Math.round(y));
  }
  const least = picture.y.ticks ? INCH * picture.size[0] : 0; // names of fixed width need room
  const grid = gridOf(picture, panels.length, Math.max(box.clientWidth || 600, least), kept);
  const [layout, traces, legend] = [{ annotations: [], shapes: [] }, [], new Set()];
  panels.forEach((panel, place) => {
    const { layout: own, heading, n } = axesOf(picture, panel, place, grid);
    Object.assign(layout, own);
    layout.annotations.push(...heading, ...panel.texts.map((text) => wordsIn(text, n, picture)));
    const axes = { x: picture.x, y: picture.y, anchor: { xaxis: `x${n}`, yaxis: `y${n}` } };
    for (const one of all[place]) {
      const made = tracesOf(one, axes, picture, panel);
      const shown = made[made.length - 1];
      const named = (one.role === "mean" && !picture.y.names && !state.grey.has(one.method)) || one.role === "limit" || one.role === "selected trial";
      if (named && !legend.has(shown.name)) [shown.showlegend] = [true, legend.add(shown.name)];
      traces.push(...made);
    }
    for (const cell of panel.cells) {
      const { shape, words } = cellIn(cell, n);
      layout.shapes.push(shape);
      layout.annotations.push(words);
    }
  });
  const extra = legend.size ? 24 + (narrow() ? 22 : 14) * Math.min(legend.size, 20) : 0;
  layout.legend = { orientation: "h", x: 0, xanchor: "left", y: -48 / grid.height, yanchor: "top", font: { size: 12 } };
  layout.showlegend = legend.size > 0;
  if (least > box.clientWidth) layout.width = least;
  show(box, traces, layout, grid.height + 54 + extra);
}

/** A coloured cell with its words. */
function cellIn([x, y, colour, text, written, edge], n) {
  const own = { xref: `x${n}`, yref: `y${n}` };
  const line = { color: ink(edge || "paper"), width: edge ? 2 : 1 };
  const sides = { x0: x - 0.47, x1: x + 0.47, y0: y - 0.45, y1: y + 0.45 };
  const font = { color: ink(written), size: 11 };
  return {
    shape: { type: "rect", ...own, ...sides, fillcolor: ink(colour), line, layer: "below" },
    words: { ...own, x, y, text: safe(text).replace(/\n/g, "<br>"), showarrow: false, font },
  };
}

/** Words at a place, as plotly's annotation. */
function wordsIn(text, n, picture) {
  const place = (value, axis) => (axis.log ? Math.log10(value) : value);
  const top = text.side === "top";
  const sides = { left: { xanchor: "right", xshift: -4 }, right: { xanchor: "left", xshift: 4 } };
  return {
    text: safe(text.text), showarrow: false, xref: `x${n}`, x: place(text.x, picture.x),
    ...(top ? { yref: `y${n} domain`, y: 1, yanchor: "top" } : { yref: `y${n}`, y: place(text.y, picture.y) }),
    ...sides[text.side], font: { size: 1.4 * text.size, color: ink(text.colour) },
  };
}

function show(box, traces, layout, height) {
  const look = {
    height,
    margin: { l: 10, r: 12, t: 4, b: 50 },
    paper_bgcolor: CLEAR,
    plot_bgcolor: CLEAR,
    hovermode: "closest",
    dragmode: "zoom",
    font: { family: "system-ui, sans-serif", size: 13, color: theme("--ink") },
    hoverlabel: { bgcolor: theme("--panel"), bordercolor: theme("--muted"), font: { color: theme("--ink") }, align: "left" },
    modebar: { bgcolor: CLEAR, color: theme("--muted"), activecolor: theme("--ink") },
  };
  Plotly.react(box, traces, { ...look, ...layout }, CONFIG);
  if (box.dataset.listens) return;
  box.dataset.listens = "yes";
  box.on("plotly_click", (event) => {
    const point = event.points.find((one) => Number.isInteger(one.customdata));
    if (point) select(point.customdata);
  });
}

/** Of each panel, which of the methods shown has the lowest and the highest mean; of curves, at their ends. */
function extremes(picture, panels) {
  return panels.slice(0, TOLD).flatMap((panel) => {
    const means = seriesOf(picture, panel).filter((one) => one.role === "mean" && (one.across || one.sparse)).map((one) => {
      const last = one.y.length - 1;
      return [one.method, { mean: (one.across ? one.x : one.y)[last], low: one.low[last], high: one.high[last] }];
    }).filter(([, one]) => one.mean !== null).sort((a, b) => a[1].mean - b[1].mean);
    if (means.length < 2) return [];
    const said = ([method, one]) => `${methodName(method)} (${interval(one)})`;
    const where = panel.title ? ` in ${panel.title}` : "";
    return [`The lowest mean${where} has ${said(means[0])}, the highest ${said(means[means.length - 1])}.`];
  });
}

/** Draw a figure: its picture, title and words. */
function drawFigure(id, pictures, metric, title, log = {}) {
  const made = pictures[metric];
  at(`${id}-box`).hidden = !made;
  if (!made) return;
  const picture = { ...made, x: { ...made.x, log: log.x ?? made.x.log }, y: { ...made.y, log: log.y ?? made.y.log } };
  const own = picture.panels.filter((panel) => panel.title === title);
  const panels = own.length ? own : title === null || made.x.names ? picture.panels.slice(0, picture.most) : [];
  at(`${id}-box`).classList.toggle("wide", panels.length > 2 || Boolean(picture.y.ticks));
  at(`${id}-title`).textContent = picture.title;
  const drawn = panels.length && (picture.x.names || panels.some((panel) => seriesOf(picture, panel).length));
  drawPicture(id, picture, panels, metric);
  const capital = (text) => (/^\w+_/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1));
  const sentences = picture.words.map((one) => `${capital(one)}.`);
  const more = !own.length && picture.panels.length > panels.length && panels.length;
  if (more) sentences.push(`The first ${panels.length} of ${picture.panels.length} are drawn: choose one.`);
  const grey = picture.y.names || picture.x.names ? 0 : state.grey.size;
  if (grey) sentences.push(`Of the methods shown, ${grey} are grey: more than ${TOLD_APART} cannot be told apart.`);
  const words = drawn ? [...extremes(picture, panels), ...sentences] : ["Nothing of the methods and task shown."];
  at(`${id}-text`).textContent = words.join(" ");
}
