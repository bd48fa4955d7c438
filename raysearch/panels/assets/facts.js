// The facts of point_text.py, relaxation_text.py, label_value.py and baselines.py; null is what is not known.
const known = (list, i) => list !== undefined && Number.isFinite(list[i]);
const knownOf = (list, i) => (known(list, i) ? list[i] : null);
const pageFacts = (P) => ({ score: P.score, digits: P.digits, run: P.run });

function pointFacts(P, i, teacher = "full") {
  const [low, high] = intervalOf(P, i) || [null, null];
  return {
    ...pageFacts(P), model: P.models[P.model[i]], method: P.methods[P.method[i]] + P.knobs[i],
    labels: P.labels[i], labelled: P.labels[i] > 0, test: P.test[i], low, high, rows: P.test_rows[i],
    confirmed: P.place[i] >= 0, train_seconds: knownOf(P.costs.train_seconds, i),
    train_flops: column(P, "train", teacher)[i], ms: knownOf(P.costs.ms, i), infer_flops: knownOf(P.costs.infer_flops, i),
  };
}

const nameOf = (P, i) => phrase("name", pointFacts(P, i));
const shownAs = (P, i) => phrase("shown", pointFacts(P, i));
const training = (P, i, teacher) => phrase("training", pointFacts(P, i, teacher));
const nounOf = (P, axis) => (axis === "own" ? phrase("own_noun", {}) : (P.axes.find((a) => a.name === axis) || { noun: axis }).noun);

function gapFacts(P, delta, ends) {
  const [from, to] = ends || [null, null];
  return { gap: Math.abs(delta), level: Number(fixed(Math.abs(delta), P.digits)) === 0, up: delta > 0, from, to };
}

function differenceFacts(P, i, j) {
  const far = apart(P, i, j);
  const up = P.test[i] > P.test[j];
  return { ...gapFacts(P, P.test[i] - P.test[j], differenceOf(P, i, j)), apart: far, better: far && up, worse: far && !up };
}

const timesFacts = (noun, cost, than) => ({
  noun, even: cost === than, dearer: cost > than, ratio: cost === than ? 1.0 : cost > than ? cost / than : than / cost,
});

const countedFacts = (n) => (n ? { n, one: n === 1 } : null);
const againstFacts = (P, i, j) => ({ ...pointFacts(P, i), ...differenceFacts(P, i, j) });

// relaxation_text.py
function limitsFacts(P, { setting, relax, nearest }) {
  const value = needs(P, setting);
  const none = (limit) => setting[limit] !== null && P.test.length && !(value[limit] && value[limit].some(Number.isFinite));
  return {
    unmeasured: LIMITS.filter(none).map((limit) => ({ ...pageFacts(P), ["of_" + limit]: true })),
    relax: relax.map(([limit, need, i]) => ({ ...pointFacts(P, i), ...boundFacts(setting, limit, need) })),
    nearest: nearest.length ? {
      ...pointFacts(P, nearest[0][2]), needs: nearest.map(([limit, need]) => boundFacts(setting, limit, need)),
    } : null,
  };
}

function boundFacts(setting, limit, need) {
  const have = setting[limit];
  return { ["of_" + limit]: true, need, have, whole: (limit === "labels" || limit === "max_bytes") && Number.isInteger(have) };
}

// label_value.py
const labelsFacts = (P, given) => (given.other === null ? { next: null, step: null }
  : { next: nextLabels(P, given), step: lastStep(P, given) });

function nextLabels(P, given) {
  const [i, step, reached] = given.other;
  const { best } = given;
  if (step > reached || i === best || !paired(P, i, best)) return null;
  const [have, had] = [P.labels[best], P.labels[i]];
  if (!(had > 0 && had < have)) return null;
  const scale = Math.log(2.0) / Math.log(have / had);
  const [low, high] = differenceOf(P, best, i);
  return {
    ...pageFacts(P), ...gapFacts(P, (P.test[best] - P.test[i]) * scale, [low * scale, high * scale]),
    more: have, dollars: priceOf(P, given, have), doubtful: low <= 0,
  };
}

function lastStep(P, given) {
  const [i, step, reached] = given.other;
  const more = step > reached;
  const [after, before] = more ? [i, given.best] : [given.best, i];
  return {
    ...pageFacts(P), ...differenceFacts(P, after, before), more, same: i === given.best, a: more ? reached : step,
    b: more ? step : reached, judged: P.kind !== "none", dollars: priceOf(P, given, P.labels[after] - P.labels[before]),
  };
}

function priceOf(P, given, labels) {
  const prices = pricesOf(P, given.setting);
  return "label" in prices && labels > 0 ? labels * prices.label : null;
}

function missingFacts(P, i, setting) {
  const prices = pricesOf(P, setting);
  const gpu = Boolean(P.gpu[i]);
  return {
    no_label_price: !("label" in prices), no_cpu_price: !gpu && !("cpu_hour" in prices),
    no_gpu_price: gpu && !("gpu_hour" in prices), no_training: !known(P.costs.train_seconds, i),
    no_speed: setting.volume > 0 && !known(P.seconds_text, i),
  };
}

function ownFacts(P, given) {
  const { choice: i, setting } = given;
  if (i === null || setting.volume === null) return null;
  const missing = missingFacts(P, i, setting);
  if (Object.values(missing).some(Boolean)) return { ...pageFacts(P), ...missing, lacking: true };
  const prices = pricesOf(P, setting);
  const hour = prices[P.gpu[i] ? "gpu_hour" : "cpu_hour"];
  const each = setting.volume > 0 ? P.seconds_text[i] : 0.0;
  return {
    ...pointFacts(P, i), volume: setting.volume, total: given.own[i], bought: P.labels[i] * prices.label,
    trained: (P.costs.train_seconds[i] / 3600) * hour, predicted: ((MONTHS * setting.volume * each) / 3600) * hour,
  };
}

// baselines.py
function rivalFacts(P, rival, choice) {
  const its = (name) => (name in rival.costs ? rival.costs[name] : null);
  const [low, high] = Number.isFinite(rival.low) ? [rival.low, rival.high] : [null, null];
  const thousand = "dollars_text" in rival.costs ? 1000 * rival.costs.dollars_text : null;
  const out = {
    ...pageFacts(P), system: rival.name, zero: rival.zero, test: rival.test, low, high,
    ms: its("ms"), infer_flops: its("infer_flops"), thousand,
  };
  const k = choice === null ? -1 : P.place[choice];
  if (k < 0 || !Number.isFinite(rival.apart[k][0])) return out;
  const [from, to] = rival.apart[k];
  const gap = gapFacts(P, rival.test - P.test[choice], [from, to]);
  return { ...out, ...gap, compared: true, better: from > 0, worse: !(from > 0) && to < 0 };
}

function rivalsLeft(P, setting, zero) {
  if (!setting.cost) return null; // nothing is drawn at all
  const prices = pricesOf(P, setting);
  const costs = P.rivals.filter((r) => r.zero === zero).map((r) => rivalCost(r, setting, prices));
  return costs.filter((c) => !(c > 0 && Number.isFinite(c))).length || null;
}
