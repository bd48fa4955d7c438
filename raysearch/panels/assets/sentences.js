// The sentences of sentences.py and the number formats of words.py; the words come from WORDS.
const said = (key, values) => WORDS[key].split("**")
  .map((piece, i) => [piece.replace(/\{(\w+)\}/g, (_, name) => values[name]), i % 2 === 1])
  .filter(([text]) => text);
const plain = (sentence) => sentence.map(([text]) => text).join("");
const phrase = (key, values) => plain(said(key, values || {}));

const whole = (value) => String(BigInt(Math.trunc(value))); // every digit, whatever the size

function fixed(value, digits) {
  const text = Math.abs(value) < 1e21 ? value.toFixed(digits) : whole(value) + (digits ? "." + "0".repeat(digits) : "");
  return text.replace("-", Number(text) === 0 ? "" : "−");
}

function brief(value) {
  if (value === 0) return "0";
  const [mantissa, power] = Math.abs(value).toExponential(1).split("e");
  const [first, second] = mantissa.split(".");
  const exponent = Number(power);
  const sign = value < 0 ? "−" : "";
  const tail = second === "0" ? "" : "." + second;
  if (exponent < -3 || exponent > 3) return `${sign}${first}${tail}e${exponent}`;
  if (exponent >= 1) return sign + first + second + "0".repeat(exponent - 1);
  if (exponent === 0) return sign + first + tail;
  return `${sign}0.${"0".repeat(-exponent - 1)}${first}${second === "0" ? "" : second}`;
}

const factor = (ratio) => (ratio < 1.05 ? brief(100 * (ratio - 1)) + " %" : brief(ratio) + "×");

// words.money and words.bound: cents below a hundred; three digits on the limit's safe side.
function money(value) {
  const sign = value < 0 ? "−$" : "$";
  const size = Math.abs(value);
  if (size < 1) return sign + brief(size);
  const [dollars, cents] = fixed(size, size >= 100 ? 0 : 2).split(".");
  return sign + count(Number(dollars)) + (cents ? "." + cents : "");
}

function bound(value, up) {
  if (value === 0) return "0";
  if (value < 0) return "−" + bound(-value, !up);
  const [text, power] = value.toExponential(2).split("e");
  let digits = Number(text.replace(".", ""));
  let exponent = Number(power);
  const short = (d) => Number(`${d}e${exponent - 2}`);
  if (up && short(digits) < value) digits += 1;
  if (!up && short(digits) > value) digits -= 1;
  if (digits === 1000) [digits, exponent] = [100, exponent + 1];
  if (digits === 99) [digits, exponent] = [999, exponent - 1];
  const shown = String(digits);
  if (exponent < -3 || exponent > 5) return `${shown[0]}.${shown.slice(1)}e${exponent}`;
  if (exponent >= 2) return shown + "0".repeat(exponent - 2);
  if (exponent >= 0) return `${shown.slice(0, exponent + 1)}.${shown.slice(exponent + 1)}`;
  return `0.${"0".repeat(-exponent - 1)}${shown}`;
}

const count = (value) => whole(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");

function duration(seconds) {
  if (seconds < 60) return brief(seconds) + " s";
  if (seconds < 3600) return brief(seconds / 60) + " min";
  return brief(seconds / 3600) + " h";
}

const known = (list, i) => list !== undefined && Number.isFinite(list[i]);

function nameOf(P, i) {
  const values = { model: P.models[P.model[i]], method: P.methods[P.method[i]] + P.knobs[i] };
  if (P.labels[i] > 0) return phrase("name", { ...values, labels: count(P.labels[i]) });
  return phrase("name_free", values);
}

function shownAs(P, i) {
  const ends = intervalOf(P, i);
  const value = fixed(P.test[i], P.digits);
  if (ends === null) return phrase("score_bare", { score: P.score, value });
  const [low, high] = ends.map((e) => fixed(e, P.digits));
  return phrase("score", { score: P.score, value, low, high });
}

function training(P, i, teacher) {
  if (known(P.costs.train_seconds, i)) {
    return phrase("trains", { value: duration(P.costs.train_seconds[i]) });
  }
  return phrase("train_flops", { value: brief(column(P, "train", teacher)[i]) });
}

function speed(P, i) {
  if (known(P.costs.ms, i)) return phrase("ms", { value: brief(P.costs.ms[i]) });
  const missing = phrase("no_ms");
  if (!known(P.costs.infer_flops, i)) return missing;
  return phrase("infer", { value: brief(P.costs.infer_flops[i]) }) + ", " + missing;
}

function change(delta, digits) {
  const value = fixed(Math.abs(delta), digits);
  if (Number(value) === 0) return phrase("equal");
  return phrase(delta > 0 ? "higher" : "lower", { value });
}

function times(noun, mine, theirs) {
  if (mine === theirs) return phrase("even", { noun });
  const up = mine > theirs;
  const ratio = factor(up ? mine / theirs : theirs / mine);
  return phrase("times", { noun, ratio, direction: phrase(up ? "above" : "below") });
}

const nounOf = (P, axis) => (axis === "own" ? phrase("own_noun") : (P.axes.find((a) => a.name === axis) || { noun: axis }).noun);

function endsOf(P, i, j) {
  const ends = differenceOf(P, i, j);
  if (ends === null) return "";
  const [low, high] = ends.map((e) => fixed(e, P.digits));
  return phrase("ends", { low, high });
}

function nothing(P) {
  if (P.test.length) return said("no_fit", {});
  if (!P.trials) return said("no_records", {});
  if (P.unscored) return said("unscored", { count: count(P.unscored) });
  const first = P.fates.find(([, fate]) => fate.error);
  if (!first && P.fates.some(([, fate]) => fate.zero)) return said("only_zero", {});
  return said("all_failed", { count: count(P.trials), error: first ? first[1].error : phrase("none") });
}

function headline(P, given) {
  if (given.choice === null) return [nothing(P), ...relax(P, given)];
  const { best, choice, setting } = given;
  const x = costOf(P, setting, given.own);
  const fresh = P.place[choice] >= 0;
  const bareOf = (key) => (fresh ? key : key + "_bare");
  const noun = nounOf(P, setting.cost);
  const { digits, test } = P;
  const bare = {
    name: nameOf(P, choice), shown: shownAs(P, choice), rows: count(P.test_rows[choice]),
    costs: training(P, choice, setting.teacher) + ", " + speed(P, choice),
  };
  const out = [];
  if (given.flat) {
    out.push(said(bareOf("flat"), { count: String(given.leaders.length), ...bare }));
  } else out.push(said(bareOf("choice"), bare));
  const second = given.flat && best !== choice ? best : given.tie;
  if (second !== null) {
    const delta = test[second] - test[choice];
    const ratio = factor(given.flat ? x[second] / x[choice] : x[choice] / x[second]);
    out.push(said(given.flat ? "top" : "tie", {
      name: nameOf(P, second), noun, ratio, change: change(delta, digits),
      ends: endsOf(P, second, choice),
    }));
  } else if (given.cheaper && !given.flat) {
    const key = given.cheaper > 1 ? "no_tie" : "no_tie_one";
    out.push(said(key, { count: String(given.cheaper) }));
  } else if (!given.flat) out.push(said("cheapest", {}));
  if (given.beaten !== null) {
    const i = given.beaten;
    out.push(said("beaten", {
      name: nameOf(P, i), change: change(test[i] - test[best], digits), ends: endsOf(P, i, best),
      rows: count(P.validation_rows[best]),
    }));
  }
  out.push(...labelSentences(P, given));
  const ends = intervalOf(P, choice);
  if (P.majority !== null && ends !== null && ends[0] <= P.majority) {
    out.push(said("majority", { value: fixed(P.majority, digits) }));
  }
  if (P.broken) out.push(said("broken", { error: P.broken }));
  else if (!fresh) out.push(said("confirm", { run: P.run }));
  return out;
}

function details(P, given) {
  const { choice, runner } = given;
  const beside = P.rivals.map((rival) => rivalSentence(P, rival, choice));
  if (choice === null) return beside;
  const out = [];
  if (runner !== null) {
    out.push(said("runner", {
      name: nameOf(P, runner), shown: shownAs(P, runner), verdict: verdict(P, runner, choice),
      change: change(P.test[runner] - P.test[choice], P.digits), ends: endsOf(P, runner, choice),
    }));
  }
  if (nextStep(P, given) !== null) out.push(...step(P, given));
  if (given.setting.volume !== null) out.push(ownSentence(P, given));
  return [...out, ...beside];
}

function verdict(P, i, j) {
  if (!apart(P, i, j)) return phrase("alike");
  return phrase(P.test[i] > P.test[j] ? "better" : "worse");
}

function relax(P, given) {
  const { setting } = given;
  const asked = LIMITS.filter((name) => setting[name] !== null);
  if (!P.test.length || !asked.length) return [];
  const value = needs(P, setting);
  const out = [];
  for (const limit of asked) {
    if (value[limit] !== undefined && value[limit].some(Number.isFinite)) continue;
    const how = limit === "max_ms" ? phrase("how_ms", { run: P.run }) : "";
    out.push(said("unmeasured", { limit: phrase("limit_" + limit), how }));
  }
  const of = (i) => ({ name: nameOf(P, i), shown: shownAs(P, i) });
  for (const [limit, need, i] of given.relax) out.push(said("relax", { ...of(i), ...boundsOf(setting, limit, need) }));
  if (given.nearest.length) {
    const wanted = given.nearest.map(([limit, need]) => phrase("need", boundsOf(setting, limit, need)));
    out.push(said("relax_none", { needs: wanted.join(", "), ...of(given.nearest[0][2]) }));
  }
  return out;
}

function boundsOf(setting, limit, need) {
  const have = setting[limit];
  const counts = limit === "labels" || limit === "max_bytes";
  return {
    limit: phrase("limit_" + limit), need: counts ? count(need) : bound(need, limit !== "min_score"),
    have: counts && Number.isInteger(have) ? count(have) : brief(have),
  };
}

function labelSentences(P, given) {
  const further = nextStep(P, given);
  return further === null ? step(P, given) : [further];
}

function nextStep(P, given) {
  if (given.other === null) return null;
  const [i, at, held] = given.other;
  const { best } = given;
  if (at > held || i === best || !paired(P, i, best)) return null;
  const [have, had] = [P.labels[best], P.labels[i]];
  if (!(had > 0 && had < have)) return null;
  const scale = Math.log(2.0) / Math.log(have / had);
  const [low, high] = differenceOf(P, best, i);
  const gain = (P.test[best] - P.test[i]) * scale;
  return said("next", {
    more: count(have), change: change(gain, P.digits), price: priceOf(P, given, have),
    ends: phrase("ends", { low: fixed(low * scale, P.digits), high: fixed(high * scale, P.digits) }),
    worth: phrase(low <= 0 ? "worth_not" : "worth_open"),
  });
}

function step(P, given) {
  if (given.other === null) return [];
  const [i, at, held] = given.other;
  const more = at > held;
  const key = more ? "more" : "fewer";
  const ab = { a: count(more ? held : at), b: count(more ? at : held) };
  if (i === given.best) return [said(key + "_same", ab)];
  const [after, before] = more ? [i, given.best] : [given.best, i];
  const delta = P.test[after] - P.test[before];
  const words = P.kind === "none" ? "" : phrase(apart(P, after, before) ? "apart" : "same");
  const price = priceOf(P, given, P.labels[after] - P.labels[before]);
  return [said(key, { change: change(delta, P.digits), verdict: words, ends: endsOf(P, after, before), price, ...ab })];
}

function priceOf(P, given, labels) {
  const prices = pricesOf(P, given.setting);
  if (!("label" in prices) || labels <= 0) return "";
  return phrase("for", { dollars: money(labels * prices.label) });
}

function ownSentence(P, given) {
  const { choice: i, setting: { volume } } = given;
  const prices = pricesOf(P, given.setting);
  const device = P.gpu[i] ? "gpu" : "cpu";
  const hour = prices[device + "_hour"];
  const missing = [];
  if (!("label" in prices)) missing.push(phrase("no_price_label"));
  if (hour === undefined) missing.push(phrase("no_price_" + device));
  if (!known(P.costs.train_seconds, i)) missing.push(phrase("no_training"));
  if (volume > 0 && !known(P.seconds_text, i)) missing.push(phrase("no_speed", { run: P.run }));
  if (missing.length) return said("own_not", { missing: missing.join("; ") });
  const each = volume > 0 ? P.seconds_text[i] : 0.0;
  return said("own", {
    name: nameOf(P, i), volume: count(volume), total: money(given.own[i]),
    labels: money(P.labels[i] * prices.label), training: money((P.costs.train_seconds[i] / 3600) * hour),
    predictions: money(((MONTHS * volume * each) / 3600) * hour),
  });
}

function against(P, given, lead) {
  const { choice, best, setting } = given;
  const x = costOf(P, setting, given.own);
  const near = !apart(P, best, lead);
  return phrase(near ? "why_near" : "why_far", {
    name: nameOf(P, lead), shown: shownAs(P, lead),
    change: change(P.test[lead] - P.test[choice], P.digits),
    cost: times(nounOf(P, setting.cost), x[lead], x[choice]),
  });
}

function why(P, given) {
  const off = given.setting.methods;
  const scored = new Set(P.method.map((m) => P.methods[m]));
  return P.fates.map(([who, fate]) => {
    const lead = given.leaders.find((i) => P.methods[P.method[i]] === who);
    const trials = { failed: String(fate.failed), trials: String(fate.trials) };
    let text;
    if (given.choice !== null && who === P.methods[P.method[given.choice]]) text = phrase("why_choice");
    else if (fate.left_out) text = phrase("why_left_out", { error: fate.left_out });
    else if (lead !== undefined) text = against(P, given, lead);
    else if (P.methods.includes(who) && off !== null && !off.includes(who)) text = phrase("why_off");
    else if (scored.has(who)) text = phrase("why_limits");
    else if (fate.zero) text = phrase("why_zero");
    else if (fate.points || !fate.failed) text = phrase("why_unscored");
    else return [who, phrase("why_failed", { error: fate.error, ...trials })];
    return [who, fate.failed ? text + phrase("some_failed", trials) : text];
  });
}

const counted = (n) => (n === 1 ? phrase("point") : phrase("points", { count: count(n) }));

function footer(P, given) {
  let left = "";
  if (P.unscored) left += phrase("left_scored", { count: counted(P.unscored) });
  if (given.noCost) {
    left += phrase("left_cost", { count: counted(given.noCost), noun: nounOf(P, given.setting.cost) });
  }
  left += rivalsLeft(P, given.setting);
  if (P.begun) left += phrase("left_begun", { count: counted(P.begun) });
  if (P.lost) left += phrase("left_lost", { count: count(P.lost) });
  if (P.unbilled) left += phrase("left_bill", { count: count(P.unbilled) });
  const rows = (list) => (given.choice !== null && known(list, given.choice)
    ? count(list[given.choice]) : phrase("none"));
  return phrase("footer", {
    validation: rows(P.validation_rows), test: rows(P.test_rows), left,
    search: brief(P.search_flops), trials: count(P.trials), draws: drawsOf(P, given.choice),
  });
}

function drawsOf(P, i) {
  if (i === null || P.place[i] < 0) return phrase("draws_one");
  const n = String(P.draws[i]);
  return P.folds ? phrase("draws_folds", { count: n, folds: String(P.folds) }) : phrase("draws", { count: n });
}

function intervalNote(P, given) {
  const i = given.choice;
  if (i !== null && P.place[i] >= 0) {
    return phrase("interval", { draws: String(P.draws[i]), rows: count(P.test_rows[i]) });
  }
  if (i === null || P.kind === "none") return "";
  return phrase("interval_bare", { kind: phrase(P.kind), rows: count(P.test_rows[i]) });
}
