// The one plot: traces that Python drew, filled again for the present answer by their role.
const MARGIN = { l: 50, r: 18, t: 30, b: 50 };

function span(values, pad) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (!(low <= high)) return [0, 1];
  const more = (high - low || 0.1 * Math.abs(high) || 0.1) * pad;
  return [low - more, high + more];
}

const axisOf = (cost) => P.axes.find((a) => a.name === cost) || { noun: nounOf(P, cost), unit: "$" };

function hover(i, x) {
  const axis = axisOf(given.setting.cost);
  const fresh = P.place[i] >= 0 ? [`${P.draws[i]} fresh draws; on the frontier in ${fixed(100 * P.on[i], 0)} % of resamples`] : ["not confirmed: one draw"];
  return [nameOf(P, i), `${shownAs(P, i)} on test`, ...fresh,
    `${fixed(P.validation[i], 3)} on validation (${count(P.validation_rows[i])})`,
    `${axis.noun} ${brief(x[i])} ${axis.unit}`].map(escaped).join("<br>");
}

// Names stand up and left of their marks, where no better point can be; the choice, the tie and
// what is from outside may stand elsewhere, any name that would touch another is left out.
function placeNames(x, range, yrange, width, height, notes, rivals) {
  const taken = notes.map(({ text, x: side, y, yanchor }) => {
    const long = 6 * text.length + 8;
    const foot = height - ((y - yrange[0]) / (yrange[1] - yrange[0])) * height + (yanchor === "top" ? 15 : 0);
    return { x0: side ? width - long : 0, x1: side ? width : long, y0: foot - 15, y1: foot };
  });
  const out = [];
  const first = [given.choice, given.tie].filter((i) => i !== null);
  const ofPoint = (i) => ({ x: Math.log10(x[i]), y: P.test[i], text: shortName(i), bold: i === given.choice, important: first.includes(i) });
  const ofRival = (r) => ({ x: Math.log10(r.x), y: r.test, text: r.name, bold: false, important: !r.zero });
  const members = [...given.frontier].reverse().filter((i) => !first.includes(i));
  // Of a curve of many points, as thresholds make it, one is named, and without its own knobs.
  const curveOf = (i) => `${P.models[P.model[i]]}, ${P.methods[P.method[i]]}`;
  const kinds = new Map();
  for (const i of given.frontier) {
    if (P.knobs[i]) kinds.set(curveOf(i), (kinds.get(curveOf(i)) || new Set()).add(P.knobs[i]));
  }
  const once = new Set(first.map(curveOf));
  const ofMember = (i) => {
    const many = P.knobs[i] !== "" && kinds.get(curveOf(i)).size > 2;
    return many ? { ...ofPoint(i), text: curveOf(i), curve: curveOf(i) } : ofPoint(i);
  };
  const all = [
    ...first.map(ofPoint), ...rivals.filter((r) => !r.zero).map(ofRival),
    ...members.map(ofMember), ...rivals.filter((r) => r.zero).map(ofRival),
  ];
  for (const { x: at, y, text, bold, important, curve } of all) {
    if (curve && once.has(curve)) continue;
    const px = ((at - range[0]) / (range[1] - range[0])) * width;
    const py = height - ((y - yrange[0]) / (yrange[1] - yrange[0])) * height;
    const long = 6.6 * text.length + 4;
    const gap = bold ? 13 : 9;
    if (width < 420 && !important) continue;
    const spots = important ? [[-1, -1], [1, 1], [1, -1], [-1, 1]] : [[-1, -1], [1, -1]];
    for (const [across, down] of spots) {
      const x0 = across < 0 ? px - gap - long : px + gap;
      const y0 = down < 0 ? py - gap - 15 : py + gap;
      const box = { x0, x1: x0 + long, y0, y1: y0 + 15 };
      if (box.x0 < -30 || box.x1 > width + 16) continue;
      if (taken.some((t) => box.x0 < t.x1 && t.x0 < box.x1 && box.y0 < t.y1 && t.y0 < box.y1)) continue;
      taken.push(box);
      if (curve) once.add(curve);
      out.push({
        x: at, y, text: bold ? `<b>${escaped(text)}</b>` : escaped(text),
        xanchor: across < 0 ? "right" : "left", yanchor: down < 0 ? "bottom" : "top", showarrow: false,
        xshift: across * gap, yshift: -down * (gap - 3), name: "mark",
        font: { size: 11.5, color: ink(important ? "--ink" : "--soft") },
      });
      break;
    }
  }
  return out;
}

// Thousands of faint points are one picture under the plot, drawn for the axes as they stand.
function cloud(groups, x, range, yrange, width, height) {
  const scale = Math.min(2, window.devicePixelRatio || 1);
  const canvas = element("canvas", {});
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  const paths = P.methods.map((m) => new Path2D(SHAPES[MARKS[m].shape]));
  pen.strokeStyle = ink("--faint");
  pen.lineWidth = 2;
  let drawn = 0;
  for (const { list, alpha } of groups) {
    pen.globalAlpha = alpha;
    for (const i of list) {
      const left = ((Math.log10(x[i]) - range[0]) / (range[1] - range[0])) * width;
      const top = height - ((P.test[i] - yrange[0]) / (yrange[1] - yrange[0])) * height;
      const k = scale * 0.4;
      pen.setTransform(k, 0, 0, k, left * scale - 8 * k, top * scale - 8 * k);
      pen.stroke(paths[P.method[i]]);
      drawn += 1;
    }
  }
  window.raysearch.cloud = drawn;
  return {
    source: canvas.toDataURL(), xref: "x", yref: "y", x: range[0], y: yrange[1], xanchor: "left", yanchor: "top",
    sizex: range[1] - range[0], sizey: yrange[1] - yrange[0], sizing: "stretch", layer: "below",
  };
}

// Systems from outside and zero-shot models.
function rivalMarks(P, rivals) {
  const part = (end) => rivals.map((r) => (Number.isFinite(r[end]) ? Math.abs(r[end] - r.test) : 0));
  const hovered = (r) => phrase("mark", rivalFacts(P, r, null));
  return {
    x: rivals.map((r) => r.x), y: rivals.map((r) => r.test), mode: "markers", hoverinfo: "text", showlegend: false,
    hovertext: rivals.map((r) => escaped(hovered(r))),
    marker: { symbol: "diamond", size: 11, color: ink("--ink") },
    error_y: { type: "data", symmetric: false, array: part("high"), arrayminus: part("low"), thickness: 1.4, width: 3, color: ink("--soft") },
  };
}

function baselines() {
  const { linear } = given;
  const best = linear === null ? [null] : [P.test[linear], "dash", BASELINES[P.methods[P.method[linear]]]];
  return [[P.majority, "dot", "most frequent class"], best]
    .filter(([value]) => value !== null);
}

function levels(yrange) {
  const shapes = [];
  const notes = [];
  const small = { size: 11, color: ink("--soft") };
  if (given.band !== null) {
    shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, y0: given.band[0], y1: given.band[1],
      fillcolor: ink("--accent"), opacity: 0.09, line: { width: 0 }, layer: "below", name: "band" });
    if (given.band[1] > given.band[0]) notes.push({ xref: "paper", x: 0, xanchor: "left", xshift: 4, y: given.band[0], yanchor: "bottom", showarrow: false,
      text: "not distinguishable from the best", font: small, name: "band" });
  }
  const lines = baselines();
  const close = lines.length === 2 && Math.abs(lines[0][0] - lines[1][0]) < 0.05 * (yrange[1] - yrange[0]);
  lines.forEach(([value, dash, text], k) => {
    const under = close && value <= lines[1 - k][0] && (k === 0 || value < lines[0][0]);
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, layer: "below",
      line: { dash, width: 1.2, color: ink("--faint") }, name: text });
    notes.push({ xref: "paper", x: 1, xanchor: "right", y: value, yanchor: under ? "top" : "bottom", showarrow: false,
      text: `${text} ${fixed(value, P.digits)}`, font: small, name: text });
  });
  return [shapes, notes];
}

function drawPlot(zoom) {
  const plot = byId("plot");
  const { setting: { cost }, frontier } = given;
  const x = P.axes.length ? costOf(P, given.setting, given.own) : [];
  const on = new Set(frontier);
  const fit = new Set(given.fits);
  const open = [];
  for (let i = 0; i < x.length; i++) if (x[i] > 0 && Number.isFinite(x[i])) open.push(i);
  const rivals = P.rivals.map((r) => ({ ...r, x: rivalCost(r, given.setting, pricesOf(P, given.setting)) }))
    .filter((r) => r.x > 0 && Number.isFinite(r.x));
  const many = open.length > CLOUD_ABOVE;
  const rest = given.fits.filter((i) => !on.has(i));
  const out = open.filter((i) => !fit.has(i));
  const width = plot.clientWidth - MARGIN.l - MARGIN.r;
  const height = plot.clientHeight - MARGIN.t - MARGIN.b;
  const range = zoom ? zoom.x : span([...open.map((i) => Math.log10(x[i])), ...rivals.map((r) => Math.log10(r.x))], 0.06);
  const yrange = zoom ? zoom.y : span([...open.map((i) => P.test[i]), ...barred(frontier), ...rivals.map((r) => r.test), ...baselines().map(([value]) => value)], 0.08);
  const [shapes, notes] = levels(yrange);
  const lists = { out: many ? [] : out, rest: many ? [] : rest, line: frontier, member: frontier };
  lists.ring = given.choice === null ? [] : [given.choice];
  const traces = DATA.figure.data.map((trace) => {
    const { role, method } = trace.meta;
    if (role === "rival") return { ...trace, ...rivalMarks(P, rivals) };
    let list = lists[role];
    if (role === "member") list = list.filter((i) => P.methods[P.method[i]] === method);
    const made = { ...trace, x: list.map((i) => x[i]), y: list.map((i) => P.test[i]), showlegend: false };
    if (role === "line" && list.length) {
      made.x.push(10 ** range[1]);
      made.y.push(made.y[made.y.length - 1]);
    }
    if (role === "out" || role === "rest") {
      made.marker = { ...trace.marker, color: ink("--faint"), symbol: list.map((i) => MARKS[P.methods[P.method[i]]].shape + (P.place[i] >= 0 ? "" : "-open")) };
    }
    if (role === "member") {
      const { shape } = MARKS[method];
      made.marker = { ...trace.marker, symbol: list.map((i) => (P.place[i] >= 0 ? shape : shape + "-open")) };
      made.error_y = bars(list);
    }
    if (role === "ring") made.marker = { ...trace.marker, color: ink("--ink"), line: { width: 1.6 } };
    if (["out", "rest", "member"].includes(role)) {
      made.hovertext = list.map((i) => hover(i, x));
      made.hoverinfo = "text";
    }
    return made;
  });
  const images = many ? [cloud([{ list: out, alpha: 0.12 }, { list: rest, alpha: 0.3 }], x, range, yrange, width, height)] : [];
  const base = DATA.figure.layout;
  const decades = range[1] - range[0] >= 2 ? { dtick: 1 } : {};
  const layout = themed({
    ...base, shapes, images, margin: { ...MARGIN }, height: plot.clientHeight,
    xaxis: { ...base.xaxis, ...decades, range, automargin: false, title: { ...base.xaxis.title, text: axisTitle(cost) } },
    yaxis: { ...base.yaxis, range: yrange, automargin: false, tickformat: yrange[1] - yrange[0] < 0.04 ? ".3f" : ".2f" },
    annotations: [...base.annotations, ...notes, ...(open.length ? placeNames(x, range, yrange, width, height, notes, rivals) : [])],
  });
  const first = !plot.data;
  Plotly.react(plot, traces, layout, CONFIG);
  window.raysearch.cloud = many ? window.raysearch.cloud : 0;
  if (first) watch(plot);
}

function watch(plot) {
  const painted = () => requestAnimationFrame(() => { window.raysearchPainted ||= performance.now(); });
  plot.on("plotly_afterplot", painted);
  painted();
  plot.on("plotly_relayout", (moved) => {
    if (moved["xaxis.autorange"] || moved["yaxis.autorange"]) drawPlot();
    else if ("xaxis.range[0]" in moved || "yaxis.range[0]" in moved) {
      drawPlot({ x: [...plot.layout.xaxis.range], y: [...plot.layout.yaxis.range] });
    }
  });
  let wide = plot.clientWidth;
  new ResizeObserver(() => {
    if (plot.clientWidth === wide) return;
    wide = plot.clientWidth;
    drawPlot();
    drawCurves();
  }).observe(plot);
}

// The ends of the bars of these points.
const barred = (list) => list.filter((i) => P.place[i] >= 0).flatMap((i) => [P.low[i], P.high[i]]);

function bars(list) {
  const of = (end) => list.map((i) => (P.place[i] >= 0 ? Math.abs(end[i] - P.test[i]) : 0));
  return { type: "data", symmetric: false, array: of(P.high), arrayminus: of(P.low), thickness: 1.4, width: 3 };
}

function axisTitle(cost) {
  const axis = cost ? axisOf(cost) : null;
  return axis ? escaped(axis.unit === axis.noun ? axis.noun : `${axis.noun} [${axis.unit}]`) : "cost";
}

// The small curve: the winners of each label budget for the best three, ending at the last one.
function drawCurves() {
  const box = byId("curves");
  if (!DATA.curves || box.parentElement.hidden) return;
  const traces = given.curves.map((list, nth) => {
    const method = P.methods[P.method[list[0]]];
    const mark = MARKS[method];
    return {
      type: "scatter", mode: "lines+markers", x: list.map((i) => P.labels[i]), y: list.map((i) => P.test[i]),
      name: escaped(`${P.models[P.model[list[0]]]}, ${method}`), hoverinfo: "text",
      hovertext: list.map((i) => escaped(`${nameOf(P, i)}: ${shownAs(P, i)}`)),
      line: { color: mark.colour, width: 1.6, dash: DATA.dashes[nth % 4] },
      marker: { symbol: list.map((i) => (P.place[i] >= 0 ? mark.shape : mark.shape + "-open")), size: 8, color: mark.colour, line: { width: 1.8, color: mark.colour } },
      error_y: bars(list),
    };
  });
  given.beyond.forEach((list, nth) => {
    if (!list.length) return;
    const mark = MARKS[P.methods[P.method[list[0]]]];
    const whole = [...given.curves[nth].slice(-1), ...list];
    traces.push({
      type: "scatter", mode: "lines+markers", x: whole.map((i) => P.labels[i]), y: whole.map((i) => P.test[i]),
      showlegend: false, opacity: 0.55, hoverinfo: "text", meta: { role: "beyond" },
      hovertext: whole.map((i) => escaped(`${nameOf(P, i)}: ${shownAs(P, i)} (more labels than you have)`)),
      line: { color: mark.colour, width: 1.4, dash: "dash" },
      marker: { symbol: mark.shape + "-open", size: 7, color: mark.colour },
    });
  });
  const base = DATA.curves.layout;
  const labels = [...new Set([...given.curves.flat(), ...given.beyond.flat()].map((i) => P.labels[i]))].filter((v) => v > 0).sort((a, b) => a - b);
  const layout = themed({ ...base, height: box.clientHeight, showlegend: true, margin: { l: 44, r: 10, t: 30, b: 40 } });
  const far = [];
  for (const v of labels) if (!far.length || v / far[far.length - 1] > 1.7) far.push(v);
  layout.xaxis = { ...base.xaxis, tickmode: "array", tickvals: far, ticktext: far.map(count) };
  layout.legend = { ...base.legend, font: { size: 11.5 } };
  Plotly.react(box, traces, layout, { ...CONFIG, displayModeBar: false });
}
