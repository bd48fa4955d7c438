// The arithmetic of answer.py and of the intervals in analysis/verdict.py, line by line.
const Z = 1.959963984540054;
const TEACHERS = { full: "train_flops_full", shared: "train_flops_shared", free: "train_flops" };

const column = (P, axis, teacher) => P.costs[axis === "train" ? TEACHERS[teacher] : axis];

function interval(score, rows, kind) {
  if (kind === "none") return null;
  if (kind === "correlation" || score < 0) {
    if (rows <= 3) return [-1.0, 1.0];
    if (Math.abs(score) >= 1) return [score, score];
    const half = Z / Math.sqrt(rows - 3);
    return [Math.tanh(Math.atanh(score) - half), Math.tanh(Math.atanh(score) + half)];
  }
  const p = Math.min(score, 1.0);
  const scale = 1 + (Z * Z) / rows;
  const middle = (p + (Z * Z) / (2 * rows)) / scale;
  const half = (Z / scale) * Math.sqrt((p * (1 - p)) / rows + (Z * Z) / (4 * (rows * rows)));
  return [Math.max(0.0, middle - half), Math.min(1.0, middle + half)];
}

function difference(a, rowsA, b, rowsB, kind) {
  const [lowA, highA] = interval(a, rowsA, kind);
  const [lowB, highB] = interval(b, rowsB, kind);
  const d = a - b;
  return [d - Math.hypot(a - lowA, highB - b), d + Math.hypot(highA - a, b - lowB)];
}

const intervalOf = (P, i) => interval(P.test[i], P.test_rows[i], P.kind);
const differenceOf = (P, i, j) => (P.kind === "none" ? null
  : difference(P.test[i], P.test_rows[i], P.test[j], P.test_rows[j], P.kind));

function apart(P, i, j) {
  const [low, high] = differenceOf(P, i, j) || [0.0, 0.0];
  return low > 0.0 || high < 0.0 || (P.kind === "none" && P.test[i] !== P.test[j]);
}

function bandOf(P, i) {
  if (P.kind === "none") return null;
  const [score, rows] = [P.test[i], P.test_rows[i]];
  return [P.kind === "binomial" ? 0.0 : -1.0, 1.0].map((end) => {
    let far = end;
    let near = score;
    for (let k = 0; k < 50; k++) {
      const middle = (near + far) / 2.0;
      const [low, high] = difference(score, rows, middle, rows, P.kind);
      if (low <= 0.0 && high >= 0.0) near = middle;
      else far = middle;
    }
    return near;
  });
}

function firstOf(ranked, key) {
  const seen = new Map();
  for (const i of ranked) if (!seen.has(key(i))) seen.set(key(i), i);
  return [...seen.values()];
}

function winners(P, x, fits) {
  const at = [...fits];
  at.sort((a, b) => P.validation[b] - P.validation[a] || x[a] - x[b] || a - b);
  return firstOf(at, (i) => P.method[i] + "/" + P.model[i] + "/" + P.budget[i]);
}

function stepFrontier(x, y, fits) {
  const at = [...fits].sort((a, b) => x[a] - x[b] || y[b] - y[a] || a - b);
  const out = [];
  let top = -Infinity;
  for (const i of at) {
    if (y[i] > top) {
      out.push(i);
      top = y[i];
    }
  }
  return out;
}

function otherStep(P, x, open, labels) {
  const steps = P.budgets;
  const within = steps.filter((s) => labels === null || s <= labels);
  if (steps.length < 2 || !within.length) return null;
  const more = within.length < steps.length;
  if (!more && within.length < 2) return null;
  const step = more ? steps[within.length] : within[within.length - 2];
  const won = winners(P, x, open.filter((i) => P.labels[i] <= step));
  return won.length ? [won[0], step, within[within.length - 1]] : null;
}

const cheapestOf = (list, x) => list.reduce((a, b) => (x[b] < x[a] ? b : a));

// setting: {labels, max_ms, cost, methods, teacher}, as answer.Setting. Lists hold point indexes.
function answer(P, setting) {
  const axis = setting.cost || (P.axes.length ? P.axes[0].name : "");
  const given = {
    setting: { ...setting, cost: axis }, fits: [], best: null, choice: null, tie: null, flat: false,
    band: null, leaders: [], cheaper: 0, frontier: [], shown: [], curves: [],
    beaten: null, linear: null, other: null, noCost: P.test.length,
  };
  if (!axis) return given;
  const x = column(P, axis, setting.teacher);
  let open = [];
  for (let i = 0; i < x.length; i++) if (x[i] > 0) open.push(i);
  given.noCost = x.length - open.length;
  if (setting.max_ms !== null) {
    const latency = P.costs.latency_ms || [];
    open = open.filter((i) => latency[i] <= setting.max_ms);
  }
  if (setting.methods !== null) {
    const wanted = P.methods.map((m) => setting.methods.includes(m));
    open = open.filter((i) => wanted[P.method[i]]);
  }
  const { labels } = setting;
  const fits = labels === null ? open : open.filter((i) => P.labels[i] <= labels);
  given.fits = fits;
  const won = winners(P, x, fits);
  if (!won.length) return given;
  const { test } = P;
  const best = won[0];
  const leaders = firstOf(won, (i) => P.method[i] + "/" + P.model[i]);
  const cheaper = won.filter((i) => x[i] < x[best]);
  const ties = cheaper.filter((i) => test[i] >= test[best] || !apart(P, best, i));
  const tie = ties.length ? cheapestOf(ties, x) : null;
  const linear = won.filter((i) => P.methods[P.method[i]] === "ngram_linear");
  const above = leaders.filter((i) => test[i] > test[best] && apart(P, best, i));
  const flat = P.kind !== "none" && leaders.length > 1 && !leaders.some((i) => apart(P, best, i));
  const choice = flat ? cheapestOf(leaders, x) : best;
  const rest = [choice, flat ? best : tie, ...leaders].filter((i) => i !== null);
  return {
    ...given, best, choice, tie: flat ? null : tie, flat, leaders,
    band: bandOf(P, best),
    cheaper: cheaper.length,
    frontier: stepFrontier(x, P.validation, fits),
    shown: [...new Set(rest)].slice(0, 5),
    curves: leaders.slice(0, 3).map((lead) =>
      won.filter((i) => P.method[i] === P.method[lead] && P.model[i] === P.model[lead])
        .sort((a, b) => P.labels[a] - P.labels[b] || a - b)),
    beaten: above.length ? above.reduce((a, b) => (test[b] > test[a] ? b : a)) : null,
    linear: linear.length ? linear.reduce((a, b) => (test[b] > test[a] ? b : a)) : null,
    other: otherStep(P, x, open, labels),
  };
}
