// Distortion over the rate, with the least distortion possible at the bits that each trial spent.

function drawRate() {
  const rates = data.rates;
  const metric = rates.limits[state.metric] || !rates.limits.nmse_db ? state.metric : "nmse_db";
  const values = byName.get(metric) || [];
  const rows = [];
  for (let row = 0; row < size; row++) {
    if (state.shown.has(data.method[row]) && rates.source[row] === state.source) rows.push(row);
  }
  const good = rows.filter((row) => completed(row) && finite(values[row]) && finite(rates.spent[row]));
  const traces = shownMethods().map((method) => rateTrace(method, good, values, metric)).filter((trace) => trace.x.length);
  const limit = rates.limits[metric];
  if (limit) traces.unshift(limitTrace(good, limit));
  const layout = { xaxis: axis(rates.label, false), yaxis: axis(metric + direction(metric), false), showlegend: true };
  at("rate-title").textContent = `Rate and ${metric}`;
  drawInto("rate", traces, { ...layout, legend: LEGEND }, 360 + legendHeight(traces.length));
  const source = rates.sources.length > 1 ? `, of ${rates.sources[state.source]}` : "";
  const failures = rows.filter(broken).length;
  const parts = [`Points are means over the seeds of one nominal rate${source}.`];
  if (limit) parts.push("Grey dashes are the least distortion possible at the bits that each trial spent.");
  if (failures) parts.push(`${failures} trials diverged or failed and are in no mean.`);
  at("rate-text").textContent = good.length ? parts.join(" ") : "No completed trial of the methods shown has a rate.";
}

/** A method's means, one for each nominal rate. */
function rateTrace(method, good, values, metric) {
  const { spent, nominal, label } = data.rates;
  const groups = new Map();
  for (const row of good) {
    if (data.method[row] !== method) continue;
    if (!groups.has(nominal[row])) groups.set(nominal[row], []);
    groups.get(nominal[row]).push(row);
  }
  const found = [...groups.values()]
    .map((own) => ({ rate: mean(own.map((row) => spent[row])).mean, value: mean(own.map((row) => values[row])), row: own[0] }))
    .sort((a, b) => a.rate - b.rate);
  const text = found.map(({ rate, value }) => {
    const told = `${safe(metric)} ${safe(interval(value))}, ${value.count} trials`;
    return `${safe(methodName(method))}<br>${safe(label)} ${short(rate, 3)}<br>${told}`;
  });
  const marker = { size: 9, symbol: symbol(method) };
  const [x, y, rows] = [found.map((one) => one.rate), found.map((one) => one.value.mean), found.map((one) => one.row)];
  const line = { color: colour(method), width: 1.5, dash: dash(method) };
  return { ...points(legendName(method), x, y, text, rows, marker), mode: "lines+markers", line };
}

function limitTrace(good, limit) {
  const rows = good.filter((row) => finite(limit[row]));
  const text = rows.map((row) => `limit ${short(limit[row], 3)}<br>of ${safe(trialLabel(row))}`);
  const marker = { symbol: "line-ew", size: 11, line: { width: 2, color: theme("--muted") } };
  const x = rows.map((row) => data.rates.spent[row]);
  return points("limit at the bits spent", x, rows.map((row) => limit[row]), text, rows, marker);
}
