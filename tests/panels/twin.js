// The page's answers without a page: one JSON line in (points, settings), one line out.
// The first line names the scripts and the globals that a page gives them.
const { readFileSync } = require("fs");
const { createInterface } = require("readline");
const { runInThisContext } = require("vm");

function begin({ scripts, globals }) {
  Object.assign(globalThis, globals);
  runInThisContext(scripts.map((path) => readFileSync(path, "utf8")).join("\n"));
}

function one({ points, settings }) {
  const P = runInThisContext("readPoints")(points);
  const call = (name, ...given) => runInThisContext(name)(...given);
  return settings.map((setting) => {
    const given = call("answer", P, setting);
    return {
      answer: { ...given, fits: given.fits.length },
      headline: call("headline", P, given), details: call("details", P, given), why: call("why", P, given),
      footer: call("footer", P, given), interval: call("intervalNote", P, given),
      marks: P.rivals.map((rival) => call("phrase", "mark", call("rivalFacts", P, rival, null))),
    };
  });
}

let first = true;
createInterface({ input: process.stdin }).on("line", (line) => {
  if (first) begin(JSON.parse(line));
  else {
    let out;
    try {
      out = one(JSON.parse(line));
    } catch (error) {
      out = { error: String(error.stack) };
    }
    process.stdout.write(JSON.stringify(out) + "\n");
  }
  first = false;
});
