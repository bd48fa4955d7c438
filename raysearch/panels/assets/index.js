// The first page: controls in, the same answer as Python out; every text enters as text.
const DATA = JSON.parse(byId("data").textContent);
const { sentences: SENTENCES, marks: MARKS, shapes: SHAPES } = DATA;
const BASELINES = JSON.parse(document.body.dataset.baselines);
const P = readPoints(DATA.points);
const CLOUD_ABOVE = 2000;
const setting = { ...DATA.setting };
let given = answer(P, setting);

const at = (column, i) => (Array.isArray(column) ? column[i] : column.of[column.at[i]]);

// JSON put together from texts that Python wrote, never read here: 1.0 must stay 1.0.
function configuration(i) {
  const { config, step, knobs } = DATA.choices;
  const lines = Object.entries(config).map(([key, column]) => [key, at(column, i)])
    .filter(([, value]) => value !== null)
    .map(([key, value]) => `    ${JSON.stringify(key)}: ${value}`);
  return `{\n  "config": {\n${lines.join(",\n")}\n  },\n  "step": ${at(step, i)},\n  "knobs": ${at(knobs, i)}\n}\n`;
}

// The command that writes the model of a point.
const exportCommand = (i) => `raysearch export ${P.run} ${P.ids[i]} --to model`;

async function copy(text, said, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { readonly: "", style: "position:fixed;opacity:0" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  byId("status").textContent = `Copied the ${said}.`;
}

function sentenceNode(sentence) {
  return element("p", {}, ...sentence.map(([text, bold]) => (bold ? element("b", {}, text) : text)));
}

function drawText() {
  byId("headline").replaceChildren(...headline(P, given).map(sentenceNode));
  byId("interval").textContent = intervalNote(P, given);
  byId("details").replaceChildren(...details(P, given).map(sentenceNode));
  byId("reasons").replaceChildren(...why(P, given).map(([who, text]) =>
    element("div", {}, element("dt", {}, who), element("dd", {}, text))));
  byId("footer").textContent = footer(P, given);
  byId("copy").disabled = given.choice === null;
  byId("rows").tBodies[0].replaceChildren(...given.shown.map(tableRow));
}

const shortName = (i) => `${P.models[P.model[i]]}, ${P.methods[P.method[i]]}${P.knobs[i]}`;

function tableRow(i) {
  const button = element("button", { type: "button", "aria-label": `Copy the configuration of ${nameOf(P, i)}` }, "Copy");
  button.addEventListener("click", () => copy(configuration(i), `configuration of ${nameOf(P, i)}`, button));
  const ms = known(P.costs.ms, i) ? brief(P.costs.ms[i]) : "not measured";
  const role = i === given.choice ? " (choice)" : i === given.tie ? " (cheaper tie)" : "";
  const cell = (label, text) => element("td", { class: "n", "data-label": label }, text);
  return element("tr", i === given.choice ? { class: "chosen" } : {},
    element("td", {}, shortName(i), element("span", { class: "role" }, role)),
    cell(P.score, shownAs(P, i).slice(P.score.length + 1)), cell("labels", count(P.labels[i])),
    cell("training", training(P, i, setting.teacher).replace(/^\w+ (in )?/, "")),
    cell("ms a text", ms), element("td", {}, button));
}

function update() {
  given = answer(P, setting);
  byId("cost").value = given.setting.cost;
  drawText();
  drawPlot();
  drawCurves();
}

function listen() {
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").addEventListener("input", (event) => {
    const labels = byId("labels").value;
    const ms = byId("max_ms").value;
    const volume = byId("volume").value;
    setting.labels = labels === "" ? null : Number(labels);
    setting.max_ms = ms === "" ? null : Number(ms);
    setting.volume = volume === "" ? null : Number(volume);
    if (event.target === byId("cost")) setting.cost = byId("cost").value;
    if (byId("teacher")) setting.teacher = byId("teacher").value;
    const boxes = [...byId("methods").querySelectorAll("input")];
    const on = boxes.filter((box) => box.checked).map((box) => P.methods[Number(box.value)]);
    setting.methods = on.length === boxes.length ? null : on;
    byId("status").textContent = "";
    update();
  });
  byId("copy").addEventListener("click", () =>
    copy(exportCommand(given.choice), `export command of ${nameOf(P, given.choice)}`, byId("copy")));
  byId("why").addEventListener("click", () => {
    const open = byId("more").hidden;
    byId("more").hidden = !open;
    byId("why").setAttribute("aria-expanded", String(open));
  });
}

window.raysearch = {
  points: P,
  answer: (changes) => answer(P, { ...DATA.setting, ...changes }),
  details: (changes) => details(P, answer(P, { ...DATA.setting, ...changes })).map(plain),
  headline: (changes) => headline(P, answer(P, { ...DATA.setting, ...changes })).map(plain),
  why: (changes) => why(P, answer(P, { ...DATA.setting, ...changes })),
  footer: (changes) => footer(P, answer(P, { ...DATA.setting, ...changes })),
  configuration,
  exportCommand,
};
listen();
drawText();
document.addEventListener("DOMContentLoaded", () => {
  if (!P.test.length) {
    window.raysearchPainted = performance.now(); // the sentence is the whole answer
    return;
  }
  drawPlot();
  drawCurves();
  onScheme(() => { drawPlot(); drawCurves(); });
});
