// The interpreter of sentences.json and the number formats: words.py says what an entry may be.
const plain = (sentence) => sentence.map(([text]) => text).join("");
const phrase = (name, facts) => plain(say(name, facts));

function say(name, facts) {
  const entry = SENTENCES[name];
  if (typeof entry !== "string" && !Array.isArray(entry)) {
    const joined = listed(name, facts).join(entry.join);
    return joined ? [[joined, false]] : [];
  }
  const found = [entry].flat().map((one) => templateOf(one, facts)).find((template) => template !== null);
  return fill(found || "", facts);
}

function listed(name, facts) {
  const entry = SENTENCES[name];
  if (entry.each) return facts[entry.each].map((each) => phrase(entry.entry, each));
  return entry.all.map((one) => templateOf(one, facts)).filter((template) => template !== null)
    .map((template) => plain(fill(template, facts)));
}

function sentencesOf(name, facts) {
  return SENTENCES[name].sentences.flatMap((part) => (typeof part === "string" ? [say(part, facts)]
    : facts[part.each].map((each) => say(part.entry, each)))).filter((sentence) => sentence.length);
}

function templateOf(one, facts) {
  if (typeof one === "string") return one;
  const holds = (name) => present(facts, name.replace("!", "")) !== name.startsWith("!");
  return one.when.split(" ").every(holds) ? one.text : null;
}

function present(facts, path) {
  const fact = path.split(".").reduce((of, name) => (of === null || of === undefined ? null : of[name]), facts);
  return typeof fact === "number" || (Array.isArray(fact) ? fact.length > 0 : Boolean(fact));
}

const fill = (template, facts) => template.split("**")
  .map((piece, i) => [piece.replace(/\{(?:(\w+)\.)?(\w+)(?::(\w+))?\}/g, (_, scope, name, form) => slot(facts, scope, name, form)), i % 2 === 1])
  .filter(([text]) => text);

function slot(facts, scope, name, form) {
  if (scope) return slot(facts[scope], "", name, form);
  if (form) return FORMATS[form](facts[name], facts.digits);
  return name in SENTENCES ? phrase(name, facts) : String(facts[name]);
}

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

const FORMATS = {
  fixed, brief, count, factor, money, duration,
  bound_up: (value) => bound(value, true), bound_down: (value) => bound(value, false),
};
