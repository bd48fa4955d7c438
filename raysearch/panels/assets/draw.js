// Shared by every page: columns unpacked, figures in the colours of the scheme.
const unpack = (column) => (Array.isArray(column) ? column : column.at.map((i) => column.of[i]));
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const byId = (id) => document.getElementById(id);
const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };

// Lay the page's colours over a figure that Python drew for light paper.
function themed(layout) {
  const font = { ...layout.font, color: ink("--soft") };
  const out = { ...layout, font };
  out.hoverlabel = { ...layout.hoverlabel, bgcolor: ink("--card"), bordercolor: ink("--faint") };
  out.hoverlabel.font = { ...(layout.hoverlabel || {}).font, color: ink("--ink") };
  for (const menu of out.updatemenus || []) {
    Object.assign(menu, { bgcolor: ink("--card"), bordercolor: ink("--rule") });
  }
  return out;
}

function onScheme(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
