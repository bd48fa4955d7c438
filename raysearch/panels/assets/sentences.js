// The sentences of sentences.py and the number formats of words.py; the words come from WORDS.
const said = (key, values) => WORDS[key].split("**")
  .map((piece, i) => [piece.replace(/\{(\w+)\}/g, (_, name) => values[name]), i % 2 === 1])
  .filter(([text]) => text);
const plain = (sentence) => sentence.map(([text]) => text).join("");
const phrase = (key, values) => plain(said(key, values || {}));

function fixed(value, digits) {
  const text = value.toFixed(digits);
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

const count = (value) => String(Math.trunc(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");

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
  if (known(P.costs.latency_ms, i)) return phrase("ms", { value: brief(P.costs.latency_ms[i]) });
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
  const ratio = brief(up ? mine / theirs : theirs / mine);
  return phrase("times", { noun, ratio, direction: phrase(up ? "above" : "below") });
}

const nounOf = (P, axis) => (P.axes.find((a) => a.name === axis) || { noun: axis }).noun;

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
  return said("all_failed", { count: count(P.trials), error: first ? first[1].error : phrase("none") });
}

function headline(P, given) {
  if (given.choice === null) return [nothing(P)];
  const { best, choice, setting } = given;
  const x = column(P, setting.cost, setting.teacher);
  const noun = nounOf(P, setting.cost);
  const { digits, test } = P;
  const bare = {
    name: nameOf(P, choice), shown: shownAs(P, choice), rows: count(P.test_rows[choice]),
    costs: training(P, choice, setting.teacher) + ", " + speed(P, choice),
  };
  const out = [];
  if (given.flat) {
    out.push(said("flat", { count: String(given.leaders.length), ...bare }));
  } else out.push(said("choice", bare));
  const second = given.flat && best !== choice ? best : given.tie;
  if (second !== null) {
    const delta = test[second] - test[choice];
    const ratio = brief(given.flat ? x[second] / x[choice] : x[choice] / x[second]);
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
  out.push(...labelSentence(P, given));
  const ends = intervalOf(P, choice);
  if (P.majority !== null && ends !== null && ends[0] <= P.majority) {
    out.push(said("majority", { value: fixed(P.majority, digits) }));
  }
  return out;
}

function labelSentence(P, given) {
  if (given.other === null) return [];
  const [i, step, held] = given.other;
  const more = step > held;
  const key = more ? "more" : "fewer";
  const ab = { a: count(more ? held : step), b: count(more ? step : held) };
  if (i === given.best) return [said(key + "_same", ab)];
  const [after, before] = more ? [i, given.best] : [given.best, i];
  const delta = P.test[after] - P.test[before];
  const verdict = P.kind === "none" ? "" : phrase(apart(P, after, before) ? "apart" : "same");
  return [said(key, { change: change(delta, P.digits), verdict, ends: endsOf(P, after, before), ...ab })];
}

function against(P, given, lead) {
  const { choice, best, setting } = given;
  const x = column(P, setting.cost, setting.teacher);
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
  if (P.confirming) left += phrase("left_confirm", { count: counted(P.confirming) });
  if (P.unbilled) left += phrase("left_bill", { count: count(P.unbilled) });
  const rows = (list) => (given.choice !== null && known(list, given.choice)
    ? count(list[given.choice]) : phrase("none"));
  return phrase("footer", {
    validation: rows(P.validation_rows), test: rows(P.test_rows), left,
    search: brief(P.search_flops), trials: count(P.trials),
  });
}

function intervalNote(P, given) {
  if (given.choice === null || P.kind === "none") return "";
  return phrase("interval", { kind: phrase(P.kind), rows: count(P.test_rows[given.choice]) });
}
