// Controls, the selected trial, and what happens when something is chosen.

/** A metric with values below zero, as in dB, has no logarithmic axis. */
function offerLog() {
  const values = byName.get(state.metric) || [];
  const positive = values.every((value, row) => !completed(row) || !finite(value) || value > 0);
  if (!positive) state.log = false;
  at("log").checked = state.log;
  at("log").disabled = !positive;
}

/** Whether the picture of a curve has a logarithmic axis, before anybody says otherwise. */
function usualLog(curve) {
  return data.pictures.curves[curve]?.y.log ?? false;
}

function drawAll() {
  state.grey = greyed();
  offerLog();
  describeMetric("metric", "metric-words");
  const { usage, curves, growth, rate_distortion: rates, heatmap, critical_difference: ranks } = data.pictures;
  const task = state.task === EVERY ? null : data.tasks[state.task];
  drawFigure("by-method", usage, state.metric, task, { x: state.log });
  drawFigure("curves", curves, state.curve, task, { y: state.curveLog });
  drawFigure("rate", rates, rates[state.metric] ? state.metric : Object.keys(rates)[0], sources()[state.source] ?? null);
  drawFigure("growth", growth, "encoder_growth", task, { y: state.growthLog });
  drawFigure("heatmap", heatmap, state.metric, task);
  drawFigure("ranks", ranks, state.metric, null);
  for (const kind of ["tuning", "profile", "sensitivity"]) drawFigure(kind, data.pictures[kind], "nmse_db", task);
  at("methods-count").textContent = `${state.shown.size} of ${data.methods.length}`;
  if (at("shown-only").checked) refreshTrials();
}

/** Sources that pictures over the rate have panels of. */
function sources() {
  return (Object.values(data.pictures.rate_distortion)[0]?.panels ?? []).map((panel) => panel.title);
}

/** Choose a trial, or none: its point, its curves and its row are marked. */
function select(row) {
  state.selected = state.selected === row ? null : row;
  if (state.selected !== null) {
    state.shown.add(data.method[row]);
    if (state.task !== EVERY && data.task[row] !== state.task) state.task = data.task[row];
    at("task").value = state.task;
    drawMethods();
  }
  drawAll();
  const focused = document.activeElement?.dataset?.row;
  const found = turnTo(row);
  if (focused !== undefined) document.querySelector(`button.trial[data-row="${focused}"]`)?.focus();
  describeSelected(found);
}

/** What the chosen metric is, in words below the control. */
function describeMetric(select, words) {
  const name = at(select).value;
  at(words).textContent = at(select).title = wordsOf(name) ?? "";
}

function describeSelected(found) {
  const box = at("selected");
  const row = state.selected;
  if (row === null) {
    box.replaceChildren();
    return;
  }
  const error = byName.get("error")?.[row];
  const value = byName.get(state.metric)?.[row];
  const measured = value === null || value === undefined ? null : `${state.metric} ${short(value)}`;
  const parts = [status[row], measured, error].filter(Boolean);
  const show = { type: "button", disabled: !found, onclick: () => showRow(row) };
  box.replaceChildren(
    element("strong", {}, `Selected: ${trialLabel(row)}`),
    ` (${trialNames[row]}): ${parts.join(", ")} `,
    element("button", show, found ? "Show its row" : "Its row is filtered out"),
    " ",
    element("button", { type: "button", onclick: () => select(row) }, "Deselect"),
  );
}

function showRow(row) {
  const button = document.querySelector(`button.trial[data-row="${row}"]`);
  button?.scrollIntoView({ block: "center" });
  button?.focus({ preventScroll: true });
}

/** Methods whose name holds what the user typed. */
function foundMethods() {
  const wanted = at("methods-find").value.toLowerCase();
  return ranked.filter((method) => methodName(method).toLowerCase().includes(wanted));
}

function drawMethods() {
  const found = foundMethods();
  const most = 200;
  const boxes = found.slice(0, most).map((method) => {
    const box = element("input", { type: "checkbox", value: method });
    box.checked = state.shown.has(method);
    box.addEventListener("change", () => {
      if (box.checked) state.shown.add(method);
      else state.shown.delete(method);
      drawAll();
    });
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = stroke(data.methods[method]);
    return element("label", { class: "check" }, box, swatch, methodName(method));
  });
  if (found.length > most) boxes.push(element("p", {}, `${found.length - most} more: type a part of their name`));
  at("methods").replaceChildren(...boxes);
}

function showMethods(methods) {
  state.shown = new Set(methods);
  drawMethods();
  drawAll();
}

function choose(id, name, read) {
  at(id).addEventListener("change", () => {
    state[name] = read(at(id));
    drawAll();
  });
}

function startControls() {
  const names = Object.keys(data.metrics);
  options(at("metric"), names.map((name) => [name, name]), state.metric);
  const tasks = data.tasks.map((name, index) => [index, name || "the one task"]);
  options(at("task"), tasks.length > 1 ? [[EVERY, "all tasks"], ...tasks] : tasks, state.task);
  const curves = Object.keys(data.pictures.curves);
  state.curve = ["mse", "loss", ...curves].find((name) => curves.includes(name)) ?? null;
  options(at("curve"), curves.map((name) => [name, name]), state.curve);
  state.each = size <= MANY_TRIALS;
  at("each").checked = state.each;
  at("curve-log").checked = state.curveLog = usualLog(state.curve);
  const own = sources().map((name, index) => [index, name || "the one source"]);
  state.source = own.length > MANY_TASKS ? 0 : EVERY;
  options(at("source"), [[EVERY, "all sources"], ...own], state.source);
  at("source-controls").hidden = own.length < 2;
  const checked = (input) => input.checked;
  const chosen = (input) => Number(input.value);
  choose("metric", "metric", (input) => input.value);
  choose("task", "task", chosen);
  choose("source", "source", chosen);
  choose("curve", "curve", (input) => {
    at("curve-log").checked = state.curveLog = usualLog(input.value);
    return input.value;
  });
  const boxes = { log: "log", "curve-log": "curveLog", "growth-log": "growthLog", each: "each" };
  for (const [id, name] of Object.entries(boxes)) choose(id, name, checked);
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("methods-find").addEventListener("input", drawMethods);
  at("methods-all").addEventListener("click", () => showMethods(foundMethods()));
  at("methods-none").addEventListener("click", () => showMethods([]));
  at("methods-best").addEventListener("click", () => showMethods(firstShown()));
  drawMethods();
}

function startRuns() {
  at("runs").replaceChildren(...data.runs.map((run) => element("details", {},
    element("summary", {}, run.name),
    ...["environment.json", "sweep.yaml"].flatMap((name) => [
      element("h3", {}, name),
      run[name] ? element("pre", { tabindex: "0" }, run[name]) : element("p", {}, `This run has no ${name}.`),
    ]))));
}

startControls();
startTrials();
startCompare();
startRuns();
drawAll();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawMethods(); drawAll(); });
document.documentElement.dataset.ready = "yes";
