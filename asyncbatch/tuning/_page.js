// Draws the charts in the page's own fonts and colours, anew when the ground turns dark or the page is printed.
(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const onDark = JSON.parse(document.getElementById("palette").textContent);
  const charts = [...document.querySelectorAll(".plot")].map((plot) => ({
    plot,
    figure: JSON.parse(plot.nextElementSibling.textContent),
  }));

  const plain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  const merged = (defaults, own) => {
    const result = { ...defaults };
    for (const [name, value] of Object.entries(own)) {
      result[name] = plain(value) && plain(defaults[name]) ? merged(defaults[name], value) : value;
    }
    return result;
  };

  const recoloured = (value) => {
    if (Array.isArray(value)) return value.map(recoloured);
    if (plain(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, recoloured(v)]));
    return typeof value === "string" && value.toLowerCase() in onDark ? onDark[value.toLowerCase()] : value;
  };

  const theme = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const axis = {
      automargin: true,
      color: colour("soft"),
      gridcolor: colour("grid"),
      linecolor: colour("rule"),
      zerolinecolor: colour("rule"),
      tickcolor: colour("rule"),
      ticks: "outside",
      ticklen: 5,
      title: { font: { color: colour("soft"), size: 13 }, standoff: 10 },
    };
    const defaults = {
      autosize: true,
      colorway: Object.keys(onDark),
      font: { family: colour("text"), size: 13, color: colour("ink") },
      hoverlabel: { bgcolor: colour("ground"), bordercolor: colour("rule"), font: { color: colour("ink") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: colour("soft") } },
      margin: { l: 10, r: 20, t: 20, b: 10 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: axis,
      yaxis: axis,
    };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis\d+$/.test(name)) defaults[name] = axis;
    }
    return defaults;
  };

  const draw = (isDark, width) => {
    for (const { plot, figure } of charts) {
      const { template, ...own } = figure.layout ?? {};
      let layout = merged(theme(own), own);
      let data = figure.data;
      if (width) layout = { ...layout, autosize: false, width };
      if (isDark) {
        layout = recoloured(layout);
        data = recoloured(data);
      }
      Plotly.react(plot, structuredClone(data), layout, { responsive: !width, displayModeBar: false });
    }
  };

  draw(dark.matches);
  dark.addEventListener("change", () => draw(dark.matches));
  const paper = 660; // CSS pixels between the margins of an A4 page
  addEventListener("beforeprint", () => draw(false, paper));
  addEventListener("afterprint", () => draw(dark.matches));
})();
