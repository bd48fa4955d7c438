// The facts of sentences.py; SENTENCES has the sentences about them.
function headline(P, given) {
  const facts = { ...pageFacts(P), choice: null, broken: P.broken };
  const more = given.choice === null ? { ...emptyFacts(P), ...limitsFacts(P, given) } : choiceFacts(P, given);
  return sentencesOf("headline", { ...facts, ...more });
}

function details(P, given) {
  const { choice, runner } = given;
  return sentencesOf("details", {
    ...labelsFacts(P, given), runner: runner === null ? null : againstFacts(P, runner, choice),
    own: ownFacts(P, given), rivals: P.rivals.map((rival) => rivalFacts(P, rival, choice)),
  });
}

function why(P, given) {
  const scored = new Set(P.method.map((m) => P.methods[m]));
  return P.fates.map(([who, fate]) => [who, phrase("why", fateFacts(P, given, who, fate, scored.has(who)))]);
}

function footer(P, given) {
  return phrase("footer", {
    search: P.search_flops, trials: P.trials, noun: nounOf(P, given.setting.cost),
    unscored: countedFacts(P.unscored), no_cost: countedFacts(given.noCost),
    left_rivals: rivalsLeft(P, given.setting, false), left_zero: rivalsLeft(P, given.setting, true),
    begun: countedFacts(P.begun), lost: P.lost || null, unbilled: P.unbilled || null, ...rowsFacts(P, given.choice),
  });
}

const intervalNote = (P, given) => phrase("interval", rowsFacts(P, given.choice));

function emptyFacts(P) {
  const failed = P.fates.find(([, fate]) => fate.error);
  return {
    scored: P.test.length > 0, ran: P.trials > 0, trials: P.trials, unscored: countedFacts(P.unscored),
    error: failed ? failed[1].error : null, zero: P.fates.some(([, fate]) => fate.zero), next: null,
  };
}

function choiceFacts(P, given) {
  const { best, choice, tie, beaten, flat, setting } = given;
  const x = costOf(P, setting, given.own);
  const top = flat && best !== choice ? best : null;
  const ends = intervalOf(P, choice);
  const level = P.majority !== null && ends !== null && ends[0] <= P.majority;
  return {
    choice: pointFacts(P, choice, setting.teacher), flat, leaders: given.leaders.length, noun: nounOf(P, setting.cost),
    cheaper: given.cheaper || null, cheaper_one: given.cheaper === 1,
    top: top === null ? null : { ...againstFacts(P, top, choice), ratio: x[top] / x[choice] },
    tie: tie === null ? null : { ...againstFacts(P, tie, choice), ratio: x[choice] / x[tie] },
    beaten: beaten === null ? null : { ...againstFacts(P, beaten, best), chosen_on: P.validation_rows[best] },
    majority: level ? P.majority : null, unmeasured: [], relax: [], ...labelsFacts(P, given),
  };
}

function rowsFacts(P, i) {
  const fresh = i !== null && P.place[i] >= 0;
  return {
    choice: i !== null, validation_rows: i === null ? null : knownOf(P.validation_rows, i),
    test_rows: i === null ? null : knownOf(P.test_rows, i), draws: fresh ? P.draws[i] : null,
    folds: fresh ? P.folds || null : null, judged: P.kind !== "none", correlated: P.kind === "correlation",
    stretched: P.kind === "stretched",
  };
}

function fateFacts(P, given, who, fate, scored) {
  const { choice, leaders, setting: { methods: off, cost } } = given;
  const leader = leaders.find((i) => P.methods[P.method[i]] === who);
  let lead = null;
  if (leader !== undefined) {
    const x = costOf(P, given.setting, given.own);
    lead = {
      ...pointFacts(P, leader), ...gapFacts(P, P.test[leader] - P.test[choice]),
      ...timesFacts(nounOf(P, cost), x[leader], x[choice]), near: !apart(P, given.best, leader),
    };
  }
  return {
    chosen: choice !== null && who === P.methods[P.method[choice]], left_out: fate.left_out, lead,
    off: P.methods.includes(who) && off !== null && !off.includes(who), scored, zero: fate.zero || null,
    points: fate.points || null, failed: fate.failed || null, trials: fate.trials, error: fate.error,
  };
}
