// Pages of panels: figures drawn as they come near, and the table of all points.
const DATA = JSON.parse(byId("data").textContent);
const PAGE_ROWS = 100;
window.raysearch = { drawn: 0 };

function drawFigure(at) {
  const box = byId(`figure-${at}`);
  const { data, layout } = DATA.figures[at];
  if (!data.length) {
    box.replaceChildren(element("p", { class: "fine" }, "Nothing to show: no finished point has what this picture needs."));
    box.style.minHeight = "0";
  } else {
    const made = themed(structuredClone(layout));
    const is = (type) => data.some((trace) => trace.type === type);
    if (box.clientWidth < 560 && is("parcoords")) made.width = 900; // the panel scrolls
    else if (box.clientWidth < 560 && !is("table")) {
      made.margin = { ...made.margin, l: 46, r: made.margin.r > 16 ? made.margin.r : 8 };
      if ((made.legend || {}).yref === "container") made.height += 19 * data.length - 30;
    }
    const lines = data.map((trace) => (trace.type === "parcoords"
      ? { ...trace, labelfont: { color: ink("--ink") }, tickfont: { color: ink("--soft") }, rangefont: { color: "rgba(0,0,0,0)" } }
      : trace));
    box.setAttribute("data-drawn", "");
    Plotly.react(box, lines, made, { ...CONFIG, displayModeBar: false });
  }
  window.raysearch.drawn += 1;
}

function drawNear() {
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      drawFigure(Number(entry.target.id.split("-")[1]));
    }
    window.raysearchPainted ||= performance.now();
  }, { rootMargin: "300px" });
  DATA.figures.forEach((_, at) => watcher.observe(byId(`figure-${at}`)));
}

const shownNumber = (v) => {
  if (Number.isInteger(v) && Math.abs(v) < 1e6) return String(v);
  return Math.abs(v) >= 1e6 || Math.abs(v) < 1e-3 ? v.toExponential(2) : String(Number(v.toPrecision(4)));
};

function pointsTable() {
  const table = byId("points");
  const columns = Object.entries(DATA.table.columns).map(([name, column]) => ({ name, values: unpack(column) }));
  for (const c of columns) c.numeric = c.values.every((v) => v === null || typeof v === "number");
  const state = { sort: null, up: true, text: "", status: "", from: 0 };
  const all = [...Array(DATA.table.rows).keys()];
  const words = all.map(() => "");
  for (const c of columns) if (!c.numeric) c.values.forEach((v, i) => { if (v !== null) words[i] += " " + v.toLowerCase(); });
  const statuses = columns.find((c) => c.name === "status");
  for (const name of new Set(statuses ? statuses.values : [])) byId("status").append(element("option", { value: name }, name));
  const head = columns.map((c) => {
    const button = element("button", { type: "button" }, c.name);
    const cell = element("th", { scope: "col" }, button);
    if (c.numeric) cell.className = "n";
    button.addEventListener("click", () => {
      state.up = state.sort === c ? !state.up : true;
      state.sort = c;
      state.from = 0;
      show();
    });
    return cell;
  });
  table.tHead.append(element("tr", {}, ...head));

  function rows() {
    const found = all.filter((i) => (!state.text || words[i].includes(state.text)) &&
      (!state.status || statuses.values[i] === state.status));
    if (state.sort === null) return found;
    const { values, numeric } = state.sort;
    const sign = state.up ? 1 : -1;
    return found.sort((a, b) => {
      const [u, v] = [values[a], values[b]];
      if (u === null || v === null) return (u === null) - (v === null) || a - b; // absent values stay last
      return sign * (numeric ? u - v : u < v ? -1 : u > v ? 1 : 0) || a - b;
    });
  }

  function show() {
    const found = rows();
    const page = found.slice(state.from, state.from + PAGE_ROWS);
    columns.forEach((c, k) => {
      if (c === state.sort) head[k].setAttribute("aria-sort", state.up ? "ascending" : "descending");
      else head[k].removeAttribute("aria-sort");
    });
    table.tBodies[0].replaceChildren(...page.map((i) => element("tr", {}, ...columns.map((c) => {
      const value = c.values[i];
      const text = value === null ? "" : c.numeric ? shownNumber(value) : value;
      const cell = element("td", c.numeric ? { class: "n" } : {}, text);
      if (text.length > 24) cell.title = text;
      return cell;
    }))));
    const last = Math.min(state.from + PAGE_ROWS, found.length);
    byId("found").textContent = found.length ? `${state.from + 1} to ${last} of ${found.length} rows` : "no rows";
    byId("back").disabled = state.from === 0;
    byId("next").disabled = last === found.length;
  }

  byId("filter").addEventListener("input", (event) => {
    Object.assign(state, { text: event.target.value.toLowerCase(), from: 0 });
    show();
  });
  byId("status").addEventListener("input", (event) => {
    Object.assign(state, { status: event.target.value, from: 0 });
    show();
  });
  byId("back").addEventListener("click", () => { state.from = Math.max(0, state.from - PAGE_ROWS); show(); });
  byId("next").addEventListener("click", () => { state.from += PAGE_ROWS; show(); });
  show();
}

if (DATA.table) pointsTable();
document.addEventListener("DOMContentLoaded", () => {
  drawNear();
  onScheme(() => document.querySelectorAll("[data-drawn]").forEach((box) => drawFigure(Number(box.id.split("-")[1]))));
});
