// Distortion over the rate, with the least distortion possible at the bits that each trial spent.

function drawRate() {
  const rates = data.rates;
  const metric = rates.points[state.metric] ? state.metric : Object.keys(rates.points)[0];
  const values = byName.get(metric) || [];
  const rows = [];
  for (let row = 0; row < size; row++) {
    if (state.shown.has(data.method[row]) && rates.source[row] === state.source) rows.push(row);
  }
  const good = rows.filter((row) => completed(row) && finite(values[row]) && finite(rates.spent[row]));
  const traces = shownMethods().map((method) => rateTrace(method, metric)).filter((trace) => trace.x.length);
  const limit = rates.limits[metric];
  if (limit) traces.unshift(limitTrace(good, limit));
  const layout = { xaxis: axis(rates.label, false), yaxis: axis(titled(metric), false), showlegend: true };
  at("rate-title").textContent = `Rate and ${metric}`;
  drawInto("rate", traces, { ...layout, legend: LEGEND }, 360 + legendHeight(traces.length));
  const source = rates.sources.length > 1 ? `, of ${rates.sources[state.source]}` : "";
  const failures = rows.filter(broken).length;
  const parts = [`Points are means over the seeds of one nominal rate${source}, with Student's interval ${data.interval}.`];
  if (limit) parts.push("Grey dashes are the least distortion possible at the bits that each trial spent.");
  if (failures) parts.push(`${failures} trials diverged or failed and are in no mean.`);
  at("rate-text").textContent = good.length ? parts.join(" ") : "No completed trial of the methods shown has a rate.";
}

/** A method's means, one for each nominal rate. */
function rateTrace(method, metric) {
  const all = data.rates.points[metric];
  const own = all.method.map((_, index) => index)
    .filter((index) => all.method[index] === method && all.source[index] === state.source);
  const pick = (values) => own.map((index) => values[index]);
  const text = own.map((index) => {
    const found = { mean: all.mean[index], low: all.low[index], high: all.high[index] };
    const told = `${safe(metric)} ${safe(interval(found))}, ${plural(all.seeds[index], "seed")}`;
    return `${safe(methodName(method))}<br>${safe(data.rates.label)} ${short(all.rate[index], 3)}<br>${told}`;
  });
  const marker = { size: 9, symbol: symbol(method) };
  const line = { color: colour(method), width: 1.5, dash: dash(method) };
  const half = own.map((index) => (all.low[index] === null ? 0 : all.high[index] - all.mean[index]));
  const bars = { type: "data", array: half, color: colour(method), thickness: 1, width: 3 };
  const trace = points(legendName(method), pick(all.rate), pick(all.mean), text, pick(all.row), marker);
  return { ...trace, mode: "lines+markers", line, error_y: bars };
}

function limitTrace(good, limit) {
  const rows = good.filter((row) => finite(limit[row]));
  const text = rows.map((row) => `limit ${short(limit[row], 3)}<br>of ${safe(trialLabel(row))}`);
  const marker = { symbol: "line-ew", size: 11, line: { width: 2, color: theme("--muted") } };
  const x = rows.map((row) => data.rates.spent[row]);
  return points("limit at the bits spent", x, rows.map((row) => limit[row]), text, rows, marker);
}
