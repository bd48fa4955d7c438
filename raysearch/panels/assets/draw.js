// Shared by every page: figures in the colours of the scheme.
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const byId = (id) => document.getElementById(id);
// Named one by one: plotly's own list holds a button that sends the chart to a server.
const CONFIG = {
  displaylogo: false, responsive: true, plotlyServerURL: "",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};

// Lay the page's colours over a figure that Python drew for light paper.
function themed(layout) {
  const font = { ...layout.font, color: ink("--soft") };
  const out = { ...layout, font };
  out.hoverlabel = { ...layout.hoverlabel, bgcolor: ink("--card"), bordercolor: ink("--faint") };
  out.hoverlabel.font = { ...(layout.hoverlabel || {}).font, color: ink("--ink") };
  out.modebar = { bgcolor: "rgba(0,0,0,0)", color: ink("--faint"), activecolor: ink("--ink") };
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
