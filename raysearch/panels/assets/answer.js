// The arithmetic of answer.py and of the intervals in score_intervals.py, line by line.
const Z = 1.959963984540054;
const TEACHERS = { full: "train_flops_full", shared: "train_flops_shared", free: "train_flops" };

const LIMITS = ["labels", "max_ms", "max_bytes", "max_train_flops", "min_score"];
const MONTHS = 12;

const column = (P, axis, teacher) => P.costs[axis === "train" ? TEACHERS[teacher] : axis];
const costOf = (P, setting, own) => (setting.cost === "own" ? own : column(P, setting.cost, setting.teacher));
const pricesOf = (P, setting) => (setting.prices === null ? P.prices : setting.prices);

// ownership_cost.py: labels and training once, a year of predictions; what is not known makes it NaN.
function dollarsToOwn(P, volume, prices) {
  const price = (name) => (name in prices ? prices[name] : NaN);
  const [label, cpu, gpu] = [price("label"), price("cpu_hour"), price("gpu_hour")];
  return P.labels.map((n, i) => {
    const hour = P.gpu[i] ? gpu : cpu;
    const trained = P.costs.train_seconds ? P.costs.train_seconds[i] : NaN;
    const out = n * label + (trained / 3600) * hour;
    return volume > 0 ? out + ((MONTHS * volume * P.seconds_text[i]) / 3600) * hour : out;
  });
}

// formula: the fields of score_intervals.Formula, as the score gives them; null where it has none.
function interval(score, rows, formula) {
  if (formula === null) return null;
  const { kind, low, high, spread } = formula;
  if (kind === "correlation") {
    if (rows <= 3) return [-1.0, 1.0];
    if (Math.abs(score) >= 1) return [score, score];
    const half = (Z / Math.sqrt(rows - 3)) * Math.sqrt(1 + spread * (score * score));
    return [Math.tanh(Math.atanh(score) - half), Math.tanh(Math.atanh(score) + half)];
  }
  const wide = high - low;
  const p = Math.min(Math.max((score - low) / wide, 0.0), 1.0);
  return wilson(p, rows / (1 + spread * (1 - p))).map((end) => low + wide * end);
}

function wilson(p, rows) {
  const scale = 1 + (Z * Z) / rows;
  const middle = (p + (Z * Z) / (2 * rows)) / scale;
  const half = (Z / scale) * Math.sqrt((p * (1 - p)) / rows + (Z * Z) / (4 * (rows * rows)));
  return [Math.max(0.0, middle - half), Math.min(1.0, middle + half)];
}

function difference(a, rowsA, b, rowsB, formula) {
  const [lowA, highA] = interval(a, rowsA, formula);
  const [lowB, highB] = interval(b, rowsB, formula);
  const d = a - b;
  return [d - Math.hypot(a - lowA, highB - b), d + Math.hypot(highA - a, b - lowB)];
}

const paired = (P, i, j) => P.place[i] >= 0 && P.place[j] >= 0;
const intervalOf = (P, i) => (P.place[i] >= 0 ? [P.low[i], P.high[i]] : interval(P.test[i], P.test_rows[i], P.formula));

// Ends of confirmed point a minus b; kept for a above b alone.
function pairOf({ unit, ends }, a, b) {
  if (a === b) return [0, 0];
  if (a < b) return pairOf({ unit, ends }, b, a).reverse().map((end) => 0 - end);
  const at = a * (a - 1) + 2 * b;
  return [ends[at] / unit, ends[at + 1] / unit];
}

function differenceOf(P, i, j) {
  if (paired(P, i, j)) return pairOf(P.apart, P.place[i], P.place[j]);
  if (P.kind === "none") return null;
  return difference(P.test[i], P.test_rows[i], P.test[j], P.test_rows[j], P.formula);
}

function apart(P, i, j) {
  const [low, high] = differenceOf(P, i, j) || [0.0, 0.0];
  return low > 0.0 || high < 0.0 || (P.kind === "none" && P.test[i] !== P.test[j]);
}

function bandOf(P, i, pool) {
  if (P.place[i] >= 0) {
    const near = pool.filter((j) => j === i || !apart(P, i, j)).map((j) => P.test[j]);
    return [Math.min(...near), Math.max(...near)];
  }
  if (P.kind === "none") return null;
  const [score, rows] = [P.test[i], P.test_rows[i]];
  return [P.formula.low, P.formula.high].map((end) => {
    let far = end;
    let near = score;
    for (let k = 0; k < 50; k++) {
      const middle = (near + far) / 2.0;
      const [low, high] = difference(score, rows, middle, rows, P.formula);
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
  const won = winners(P, x, eligible(P, open.filter((i) => P.labels[i] <= step)));
  return won.length ? [won[0], step, within[within.length - 1]] : null;
}

const curvesOf = (P, won, leaders) => leaders.slice(0, 3).map((lead) =>
  won.filter((i) => P.method[i] === P.method[lead] && P.model[i] === P.model[lead])
    .sort((a, b) => P.labels[a] - P.labels[b] || a - b));

const cheapestOf = (list, x) => list.reduce((a, b) => (x[b] < x[a] ? b : a));

// The points a choice may be made from: the confirmed ones where there are any.
function eligible(P, fits) {
  const confirmed = fits.filter((i) => P.place[i] >= 0);
  return confirmed.length ? confirmed : fits;
}

// What an outside system or a zero-shot model costs on the axis; NaN where that is not known.
function rivalCost(rival, setting, prices) {
  const its = (name, other) => (name in rival.costs ? rival.costs[name] : other);
  const price = (name) => (name in prices ? prices[name] : NaN);
  if (setting.cost !== "own") return its(setting.cost, NaN); // of training, whoever pays, there was none
  const hour = price(rival.gpu ? "gpu_hour" : "cpu_hour");
  const each = its("dollars_text", (its("seconds_text", NaN) / 3600) * hour);
  const labels = its("labels", 0.0);
  return MONTHS * (setting.volume || 0.0) * each + (labels > 0 ? labels * price("label") : 0.0);
}

function needs(P, setting) {
  return {
    labels: P.labels, max_ms: P.costs.ms, max_bytes: P.costs.bytes,
    max_train_flops: column(P, "train", setting.teacher), min_score: P.validation,
  };
}

function meets(value, i, name, limit) {
  if (limit === null) return true;
  const v = value === undefined ? NaN : value[i];
  return name === "min_score" ? v >= limit : v <= limit;
}

function relaxations(P, setting, open) {
  const value = needs(P, setting);
  const out = [];
  for (const name of LIMITS) {
    const limit = setting[name];
    if (limit === null || value[name] === undefined) continue;
    const at = open.filter((i) => Number.isFinite(value[name][i]) &&
      LIMITS.every((other) => other === name || meets(value[other], i, other, setting[other])));
    if (!at.length) continue;
    const low = name === "min_score";
    const i = at.reduce((a, b) => ((low ? value[name][b] > value[name][a] : value[name][b] < value[name][a]) ? b : a));
    const need = value[name][i];
    const ratio = low ? 1 + limit - need : limit > 0 ? need / limit : Infinity;
    out.push([ratio, name, need, i]);
  }
  out.sort((a, b) => (a[0] === b[0] ? 0 : a[0] - b[0]) || LIMITS.indexOf(a[1]) - LIMITS.indexOf(b[1]));
  return out.map(([, name, need, i]) => [name, need, i]);
}

// What the point that breaks the fewest limits, then the best on validation, would need.
function nearestTo(P, setting, open) {
  const value = needs(P, setting);
  const asked = LIMITS.filter((name) => setting[name] !== null);
  const at = open.filter((i) => asked.every((name) => value[name] !== undefined && Number.isFinite(value[name][i])));
  if (!at.length || !asked.length) return [];
  const broken = (i) => asked.filter((name) => !meets(value[name], i, name, setting[name]));
  const i = at.reduce((a, b) => {
    const more = broken(a).length - broken(b).length || P.validation[b] - P.validation[a];
    return more > 0 ? b : a;
  });
  return broken(i).map((name) => [name, value[name][i], i]);
}

// setting: the fields of answer.Setting. Lists hold point indexes.
function answer(P, setting) {
  const own = dollarsToOwn(P, setting.volume || 0.0, pricesOf(P, setting));
  const priced = own.some((v) => v > 0 && Number.isFinite(v));
  const names = P.axes.map((a) => a.name).filter((name) => name !== "own" || priced);
  const axis = setting.cost || (setting.volume !== null && priced ? "own" : names[0] || "");
  const given = {
    setting: { ...setting, cost: axis }, fits: [], pool: [], best: null, choice: null, runner: null, tie: null,
    flat: false, band: null, leaders: [], cheaper: 0, frontier: [], shown: [], curves: [], beyond: [],
    beaten: null, linear: null, other: null, noCost: P.test.length, relax: [], nearest: [], own,
  };
  if (!axis) return given;
  const x = costOf(P, given.setting, own);
  let open = [];
  for (let i = 0; i < x.length; i++) if (x[i] > 0 && Number.isFinite(x[i])) open.push(i);
  given.noCost = x.length - open.length;
  if (setting.methods !== null) {
    const wanted = P.methods.map((m) => setting.methods.includes(m));
    open = open.filter((i) => wanted[P.method[i]]);
  }
  const value = needs(P, given.setting);
  const rest = LIMITS.filter((name) => name !== "labels" && setting[name] !== null);
  const without = open.filter((i) => rest.every((name) => meets(value[name], i, name, setting[name])));
  const { labels } = setting;
  const fits = labels === null ? without : without.filter((i) => P.labels[i] <= labels);
  given.fits = fits;
  const pool = eligible(P, fits);
  const won = winners(P, x, pool);
  if (!won.length) {
    const relax = relaxations(P, given.setting, open);
    return { ...given, relax, nearest: relax.length ? [] : nearestTo(P, given.setting, open) };
  }
  given.pool = pool;
  const { test } = P;
  const best = won[0];
  const leaders = firstOf(won, (i) => P.method[i] + "/" + P.model[i]);
  const cheaper = won.filter((i) => x[i] < x[best]);
  const ties = cheaper.filter((i) => test[i] >= test[best] || !apart(P, best, i));
  const tie = ties.length ? cheapestOf(ties, x) : null;
  const linear = won.filter((i) => Object.hasOwn(BASELINES, P.methods[P.method[i]]));
  const above = leaders.filter((i) => test[i] > test[best] && apart(P, best, i));
  const flat = P.kind !== "none" && leaders.length > 1 && !leaders.some((i) => apart(P, best, i));
  const choice = flat ? cheapestOf(leaders, x) : best;
  const rows = [choice, flat ? best : tie, ...leaders].filter((i) => i !== null);
  const runner = leaders.find((i) => i !== choice);
  return {
    ...given, best, choice, runner: runner === undefined ? null : runner, tie: flat ? null : tie, flat, leaders,
    band: bandOf(P, best, pool),
    cheaper: cheaper.length,
    frontier: stepFrontier(x, P.validation, pool),
    shown: [...new Set(rows)].slice(0, 5),
    curves: curvesOf(P, won, leaders),
    beyond: curvesOf(P, labels === null ? [] : winners(P, x, eligible(P, without)), leaders)
      .map((list) => list.filter((i) => P.labels[i] > labels)),
    beaten: above.length ? above.reduce((a, b) => (test[b] > test[a] ? b : a)) : null,
    linear: linear.length ? linear.reduce((a, b) => (test[b] > test[a] ? b : a)) : null,
    other: otherStep(P, x, without, labels),
  };
}
