// What all plots share: the look, the axes, and that a click on a point selects its trial.

const SYMBOLS = {
  o: "circle", s: "square", "^": "triangle-up", D: "diamond", v: "triangle-down", P: "cross", X: "hexagon", "*": "star",
};
const DASHES = { solid: "solid", dashed: "dash", dotted: "dot", dashdot: "dashdot" };

// These buttons only: plotly would add one that uploads the plot's data.
const BUTTONS = [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]];
const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: BUTTONS, plotlyServerURL: "" };
const CLEAR = "rgba(0,0,0,0)";

/** A colour of the style sheet, which knows whether the page is dark. */
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

function symbol(method) {
  return SYMBOLS[data.methods[method].marker];
}

function dash(method) {
  return DASHES[data.methods[method].dash];
}

function methodName(method) {
  return data.methods[method].name;
}

function narrow() {
  return window.innerWidth < 600;
}

function axis(title, log) {
  return {
    title: { text: safe(title), standoff: 8, font: { size: 13 } },
    type: log ? "log" : "linear",
    gridcolor: theme("--line"),
    linecolor: theme("--line"),
    zeroline: false,
    automargin: true,
    exponentformat: "power",
    nticks: narrow() ? 5 : log ? 7 : 0,
    tickfont: { size: narrow() ? 11 : 12 },
  };
}

/** A legend below the plot. */
const LEGEND = { orientation: "h", x: 0, xanchor: "left", y: -0.22, yanchor: "top", font: { size: 12 } };

/** More height for a legend of so many names. */
function legendHeight(names) {
  return (narrow() ? 22 : 12) * Math.min(names, 20);
}

/** A name short enough for a legend. */
function legendName(method) {
  const name = methodName(method);
  return safe(name.length > 40 ? `${name.slice(0, 40)}\u2026` : name);
}

function drawInto(id, traces, layout, height) {
  const box = at(id);
  const look = {
    height,
    margin: { l: 10, r: 12, t: 8, b: 40 },
    paper_bgcolor: CLEAR,
    plot_bgcolor: CLEAR,
    hovermode: "closest",
    showlegend: false,
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

/** Points with a text each that shows under the mouse, and the trial that a click selects. */
function points(name, x, y, text, rows, marker) {
  return { type: "scatter", mode: "markers", name, x, y, text, hoverinfo: "text", customdata: rows, marker };
}
