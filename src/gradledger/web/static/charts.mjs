// Charts are drawn from the table in their own figure: one source, and nothing that is not there.
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const CLASS = "gl-plot";

export function draw(figure) {
  const place = figure.querySelector(".drawing");
  const rows = read(figure.querySelector("table"));
  const kinds = { lines, heat, small, waterfall, pairs };
  const make = kinds[figure.dataset.chart];
  if (!make || !rows.length || !globalThis.Plot) return;
  const drawn = make(rows, figure.dataset, Math.max(280, figure.clientWidth));
  if (!drawn) return;
  place.replaceChildren(drawn);
  // The table holds the same links, in reach of the keyboard.
  for (const link of drawn.querySelectorAll("a")) link.setAttribute("tabindex", "-1");
  const folded = figure.querySelector("details");
  if (folded && !figure.dataset.drawn) folded.open = false;
  figure.dataset.drawn = "yes";
}

function read(table) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.name);
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.firstChild?.textContent.trim() ?? "");
  const rows = [...table.tBodies[0].rows].filter((row) => row.cells.length === names.length).map((row) => {
    const found = { links: {} };
    [...row.cells].forEach((cell, n) => {
      const text = cell.textContent.trim();
      found[names[n]] = cell.dataset.v !== undefined ? Number(cell.dataset.v) : text === "-" ? null : text;
      const link = cell.querySelector("a");
      if (link) found.links[names[n]] = link.getAttribute("href");
    });
    return found;
  });
  rows.heads = Object.fromEntries(names.map((name, n) => [name, heads[n]]));
  return rows;
}

const finite = (value) => typeof value === "number" && Number.isFinite(value);
const theme = (width, height) => ({ className: CLASS, width, height, style: { fontSize: "11px", background: "transparent" } });
const share = (value) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(4);

function lines(rows, options, width) {
  const { x } = options;
  const series = options.y.split(",");
  const called = (options.names ?? options.y).split(",");
  const points = series.flatMap((name, n) => rows.filter((row) => finite(row[x]) && finite(row[name]) && (options.scale !== "log" || row[name] > 0))
    .map((row) => ({ x: row[x], y: row[name], series: called[n] || name })));
  if (!points.length) return null;
  const inks = [css("--accent"), css("--less")];
  const several = series.length > 1;
  const few = points.length <= 60;
  return Plot.plot({
    ...theme(width, 210), marginLeft: 56, marginRight: several ? 90 : 16,
    x: { label: options.label ?? x, nice: false },
    y: { label: options.unit ?? "", grid: true, type: options.scale === "log" ? "log" : "linear", nice: true, tickFormat: options.scale === "log" ? ".0e" : undefined, ticks: 5 },
    color: { domain: called.slice(0, series.length), range: inks },
    marks: [
      ...(options.zero ? [Plot.ruleY([0], { stroke: css("--muted") })] : []),
      Plot.lineY(points, { x: "x", y: "y", stroke: several ? "series" : css("--accent"), strokeWidth: 1.6 }),
      ...(few ? [Plot.dot(points, { x: "x", y: "y", r: 2.2, fill: several ? "series" : css("--accent") })] : []),
      ...(several ? [Plot.text(points, Plot.selectLast({ x: "x", y: "y", z: "series", text: "series", dx: 6, textAnchor: "start", fill: "series" }))] : []),
      Plot.tip(points, Plot.pointerX({ x: "x", y: "y", ...(several ? { channels: { run: "series" } } : {}), format: { x: "d", y: ".4~g" } })),
    ],
  });
}

function heat(rows, options, width) {
  const columns = options.columns.split("\n");
  const cut = options.prefix ?? "";
  const cells = rows.filter((row) => row[options.y] !== "total").flatMap((row) => columns.map((name) => (
    { y: row[options.y], x: name.slice(cut.length), value: row[name], href: row.links[name] })));
  const known = cells.filter((cell) => finite(cell.value));
  if (!known.length) return null;
  const most = Math.max(...known.map((cell) => Math.abs(cell.value)));
  const order = [...new Set(cells.map((cell) => cell.y))];
  const longest = Math.max(...order.map((name) => name.length));
  const size = Math.min(30, Math.max(14, 640 / order.length));
  return Plot.plot({
    ...theme(Math.min(width, 190 + 130 * columns.length), 60 + size * order.length), marginLeft: Math.min(230, 16 + 6.2 * longest), marginTop: 28, marginBottom: 8,
    x: { label: null, domain: columns.map((name) => name.slice(cut.length)), axis: "top", tickFormat: (name) => name.length > 20 ? name.slice(0, 18) + "…" : name, tickSize: 0 },
    y: { label: null, domain: order, tickSize: 0 },
    color: { type: "diverging", domain: [-most, most], pivot: 0, interpolate: d3.piecewise(d3.interpolateRgb, [css("--less"), css("--raised"), css("--accent")]) },
    marks: [
      Plot.cell(known, { x: "x", y: "y", fill: "value", inset: 0.7, href: "href" }),
      Plot.text(known, { x: "x", y: "y", text: (cell) => cell.value === 0 ? "0" : (100 * cell.value).toFixed(1) + " %", fill: (cell) => Math.abs(cell.value) > 0.55 * most ? css("--raised") : css("--ink"), pointerEvents: "none" }),
      Plot.tip(known, Plot.pointer({ x: "x", y: "y", title: (cell) => `${cell.y}\n${cell.x}: ${share(cell.value)}` })),
    ],
  });
}

// One small drawing per key in place of many colours.
function small(rows, options, width) {
  const points = rows.filter((row) => finite(row[options.x]) && finite(row[options.y])).map((row) => ({ x: row[options.x], y: row[options.y], key: String(row[options.facet] ?? "-") }));
  if (!points.length) return null;
  const keys = [...new Set(points.map((point) => point.key))];
  const across = Math.max(1, Math.min(keys.length, Math.floor(width / 210)));
  const at = (key) => keys.indexOf(key);
  for (const point of points) { point.fx = at(point.key) % across; point.fy = Math.floor(at(point.key) / across); }
  const titles = keys.map((key) => ({ key, fx: at(key) % across, fy: Math.floor(at(key) / across) }));
  return Plot.plot({
    ...theme(width, 34 + 96 * Math.ceil(keys.length / across)), marginLeft: 46, marginRight: 8, marginTop: 20, axis: null,
    x: { label: options.label, axis: "bottom", ticks: 3, nice: false }, y: { axis: "left", ticks: 3, grid: true, label: null, nice: true }, fx: { padding: 0.12, axis: null }, fy: { padding: 0.3, axis: null },
    marks: [
      Plot.ruleY([0], { stroke: css("--muted") }),
      Plot.areaY(points, { x: "x", y: "y", fx: "fx", fy: "fy", fill: css("--accent"), fillOpacity: 0.14 }),
      Plot.lineY(points, { x: "x", y: "y", fx: "fx", fy: "fy", stroke: css("--accent"), strokeWidth: 1.4 }),
      Plot.text(titles, { fx: "fx", fy: "fy", text: "key", frameAnchor: "top-left", dy: -14, fontWeight: 600, fill: css("--ink") }),
      Plot.tip(points, Plot.pointerX({ x: "x", y: "y", fx: "fx", fy: "fy", format: { x: "d", y: "+.4f", fx: false, fy: false } })),
    ],
  });
}

// Lines of the books from nothing to the whole change; lines too small to be seen stay in the table.
function waterfall(rows, options, width) {
  const parts = rows.filter((row) => finite(row[options.y]));
  const most = Math.max(...parts.map((row) => Math.abs(row[options.y])));
  let sum = 0;
  const bars = parts.map((row) => {
    const is = row[options.x] === "total";
    const from = is ? 0 : sum;
    if (!is) sum += row[options.y];
    return { name: row[options.x], from, to: is ? row[options.y] : sum, value: row[options.y], is };
  }).filter((bar) => Math.abs(bar.value) > 0.002 * most);
  if (!bars.length) return null;
  return Plot.plot({
    ...theme(Math.min(width, 640), 30 + 22 * bars.length), marginLeft: 130, marginRight: 60, marginTop: 6,
    x: { grid: true, label: null, ticks: 5 }, y: { domain: bars.map((bar) => bar.name), label: null, tickSize: 0 },
    marks: [
      Plot.ruleX([0], { stroke: css("--muted") }),
      Plot.barX(bars, { y: "name", x1: "from", x2: "to", fill: (bar) => bar.is ? css("--ink") : bar.value < 0 ? css("--less") : css("--accent"), insetTop: 3, insetBottom: 3 }),
      Plot.text(bars, { y: "name", x: (bar) => Math.max(bar.from, bar.to), text: (bar) => share(bar.value), textAnchor: "start", dx: 5, fill: css("--ink") }),
    ],
  });
}

// Executed against estimated, with the line on which both agree.
function pairs(rows, options, width) {
  const points = rows.filter((row) => finite(row[options.x]) && finite(row[options.y]) && row[options.label] !== "total");
  if (points.length < 2) return null;
  const all = points.flatMap((row) => [row[options.x], row[options.y], 0]);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  return Plot.plot({
    ...theme(Math.min(width, 460), 300), marginLeft: 56, marginBottom: 38,
    x: { label: "executed, along D", grid: true, nice: true, ticks: 5 }, y: { label: "ledger, along D", grid: true, nice: true, ticks: 5 },
    marks: [
      Plot.line([[low, low], [high, high]], { stroke: css("--muted"), strokeDasharray: "3,3" }),
      Plot.dot(points, { x: options.x, y: options.y, r: 4, fill: css("--accent") }),
      Plot.text(points, { x: options.x, y: options.y, text: options.label, dx: 7, textAnchor: "start", fill: css("--ink") }),
      Plot.tip(points, Plot.pointer({ x: options.x, y: options.y, title: (row) => `${row[options.label]}\nexecuted ${share(row[options.x])}\nledger ${share(row[options.y])}` })),
    ],
  });
}
