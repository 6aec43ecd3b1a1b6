"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const merged = structuredClone(layout);
  merged.paper_bgcolor = merged.plot_bgcolor = "rgba(0,0,0,0)";
  merged.font = { color: color("--ink"), size: 12, family: "system-ui, sans-serif" };
  if (window.innerWidth < 600) {
    merged.margin.t += 44; // the legend has several lines on a phone
  }
  for (const name of Object.keys(merged)) {
    if (name.startsWith("xaxis") || name.startsWith("yaxis")) {
      merged[name].gridcolor = merged[name].linecolor = color("--line");
      merged[name].zerolinecolor = color("--line");
    }
  }
  return merged;
}

function draw() {
  for (const [name, figure] of Object.entries(figures)) {
    const place = document.getElementById(name);
    if (place) {
      Plotly.react(place, figure.data, themed(figure.layout), {
        responsive: true,
        displaylogo: false,
        displayModeBar: false,
      });
    }
  }
}

draw();
dark.addEventListener("change", draw);

const slider = document.getElementById("slider");
if (slider) {
  const samples = document.querySelectorAll(".sample");
  slider.addEventListener("input", () => {
    samples.forEach((sample, index) => { sample.hidden = index !== Number(slider.value); });
  });
}
