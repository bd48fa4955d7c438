// The sentences of rivals.py: systems from outside and zero-shot models, never chosen.
function rivalShown(P, rival) {
  const value = fixed(rival.test, P.digits);
  if (!Number.isFinite(rival.low)) return phrase("score_bare", { score: P.score, value });
  return phrase("score", { score: P.score, value, low: fixed(rival.low, P.digits), high: fixed(rival.high, P.digits) });
}

function rivalSentence(P, rival, choice) {
  const key = rival.zero ? "zero" : "rival";
  const of = { name: rival.name, shown: rivalShown(P, rival), cost: rivalSpeed(rival) };
  const k = choice === null ? -1 : P.place[choice];
  if (k < 0 || !Number.isFinite(rival.apart[k][0])) return said(key + "_alone", of);
  const [low, high] = rival.apart[k];
  return said(key, {
    ...of, change: change(rival.test - P.test[choice], P.digits),
    ends: phrase("ends", { low: fixed(low, P.digits), high: fixed(high, P.digits) }),
    verdict: phrase(low > 0 ? "better" : high < 0 ? "worse" : "alike"),
  });
}

// What a text costs, as far as it is known; FLOPs where the time is not.
function rivalSpeed({ costs }) {
  let out = "";
  if ("ms" in costs) out += phrase("rival_ms", { value: brief(costs.ms) });
  else if ("infer_flops" in costs) out += phrase("rival_flops", { value: brief(costs.infer_flops) });
  if ("dollars_text" in costs) out += phrase("rival_dollars", { dollars: money(1000 * costs.dollars_text) });
  return out;
}

// How many are not drawn for lack of the cost, as a part of the footer.
function rivalsLeft(P, setting) {
  let out = "";
  if (!setting.cost) return out; // nothing is drawn at all
  const prices = pricesOf(P, setting);
  for (const [zero, key] of [[false, "left_rivals"], [true, "left_zero"]]) {
    const costs = P.rivals.filter((r) => r.zero === zero).map((r) => rivalCost(r, setting, prices));
    const lost = costs.filter((c) => !(c > 0 && Number.isFinite(c))).length;
    if (lost) out += phrase(key, { count: count(lost), noun: nounOf(P, setting.cost) });
  }
  return out;
}
