// What embed.py wrote, read again: packed columns, and the points of a page with NaN for null.
const unpack = (column) => (Array.isArray(column) ? column : column.at.map((i) => column.of[i]));
const orNaN = (value) => (value === null ? NaN : value);

function readPoints(P) {
  for (const name of ["method", "model", "budget", "labels", "knobs", "validation", "test", "validation_rows", "test_rows", "draws", "place", "gpu", "ids"]) {
    P[name] = unpack(P[name]);
  }
  for (const name of ["low", "high", "on", "seconds_text"]) P[name] = unpack(P[name]).map(orNaN);
  for (const name of Object.keys(P.costs)) P.costs[name] = Float64Array.from(unpack(P.costs[name]), orNaN);
  for (const rival of P.rivals) {
    for (const name of ["low", "high"]) rival[name] = orNaN(rival[name]);
    rival.apart = rival.apart.map((ends) => ends.map(orNaN));
  }
  return P;
}
