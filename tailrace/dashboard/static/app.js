// What the pages do beyond swapping what the server sends: title and icon, charts, keys, silence.
"use strict";

const QUIET_INTERVALS = 4; // without news, before the page says so
let heardAtMs = Date.now();
let isPaused = false;
const GAP_S = 12; // without a look, and a line is broken; in steps of 30 s for the long ranges
const charts = [];

function tick() {
  const data = document.getElementById("tick");
  if (!data) return;
  const name = document.title.replace(/^\S+( UP)? \| /, "");
  document.title = `${data.dataset.worst} | ${name}`;
  document.getElementById("icon").href = `/static/icon-${data.dataset.level}.svg`;
  for (const chart of charts) chart.take();
}

function watchSilence() {
  const data = document.getElementById("tick");
  const note = document.getElementById("stale");
  const intervalS = data ? Number(data.dataset.interval) : 1;
  const quietS = (Date.now() - heardAtMs) / 1000;
  const isStale = !isPaused && quietS > QUIET_INTERVALS * Math.max(1, intervalS);
  if (isStale && note.hidden) {
    note.textContent = `The dashboard has not answered since ${new Date(heardAtMs).toISOString().slice(11, 19)} UTC. What is below is old; reconnecting…`;
  }
  note.hidden = !isStale;
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.sink = figure.dataset.sink;
    this.series = figure.dataset.series.split(",");
    this.labels = figure.dataset.labels.split(",");
    this.spanS = Number(figure.dataset.minutes) * 60;
    this.data = [[], ...this.series.map(() => [])];
  }

  async load() {
    const answer = await fetch(this.figure.dataset.url);
    if (!answer.ok) return;
    for (const point of await answer.json()) this.add(point.at_s, this.series.map((name) => point[name]));
    this.draw();
  }

  add(atS, values) {
    const last = this.data[0].at(-1);
    if (last !== undefined && atS <= last) return;
    if (last !== undefined && atS - last > GAP_S * (this.spanS > 3600 ? 30 : 1)) {
      this.data[0].push(last + 0.001); // nobody looked: the line must not go on
      this.data.slice(1).forEach((each) => each.push(null));
    }
    this.data[0].push(atS);
    values.forEach((value, i) => this.data[i + 1].push(value));
    while (this.data[0].length && this.data[0][0] < atS - this.spanS) this.data.forEach((each) => each.shift());
  }

  take() {
    if (this.spanS > 3600) return; // each point is the worst of 30 s there
    const node = [...document.querySelectorAll("data.point")].find((each) => each.dataset.sink === this.sink);
    if (!node || !this.plot) return;
    const keys = { lag_s: "lag", visible_s: "visible", arrived_per_s: "in", applied_per_s: "out", retained_bytes: "kept" };
    const values = this.series.map((name) => (node.dataset[keys[name]] ? Number(node.dataset[keys[name]]) : null));
    this.add(Number(node.value), values);
    this.plot.setData(this.data);
  }

  draw() {
    const ink = getComputedStyle(document.body).color;
    const colours = [colourOf("stage-0"), colourOf("stage-4")];
    const box = this.figure.querySelector(".plot");
    const axis = { stroke: ink, grid: { stroke: "rgba(128,128,128,.25)" }, ticks: { stroke: "rgba(128,128,128,.4)" }, font: "12px system-ui" };
    this.plot = new uPlot({
      width: box.clientWidth || 320,
      height: 200,
      tzDate: (s) => uPlot.tzDate(new Date(s * 1000), "Etc/UTC"),
      series: [{ label: "UTC", value: (_, s) => (s === null ? "–" : timeOf(s)) }, ...this.labels.map((label, i) => ({ label, stroke: colours[i], width: 2, spanGaps: false, dash: i ? [6, 3] : [] }))],
      axes: [{ ...axis, values: (_, ticks) => ticks.map(timeOf) }, { ...axis, size: 70, values: (_, ticks) => ticks.map((v) => shown(v, this.figure.dataset.unit)) }],
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    }, this.data, box);
    new ResizeObserver(() => this.plot.setSize({ width: box.clientWidth, height: 200 })).observe(box);
  }
}

function timeOf(s) {
  return new Date(s * 1000).toISOString().slice(11, 19);
}

function colourOf(name) {
  const probe = document.createElement("i");
  probe.className = name;
  document.body.append(probe);
  const colour = getComputedStyle(probe).backgroundColor;
  probe.remove();
  return colour;
}

function shown(value, unit) {
  if (unit === "B") return value >= 1048576 ? `${(value / 1048576).toFixed(0)} MiB` : `${(value / 1024).toFixed(0)} KiB`;
  if (unit === "s" && value > 0 && value < 1) return `${(value * 1000).toFixed(0)} ms`;
  return `${value.toLocaleString("en")} ${unit}`;
}

function move(step) {
  const rows = [...document.querySelectorAll("a.row")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at + step))].focus();
}

function pause() {
  isPaused = !isPaused;
  document.getElementById("paused").textContent = isPaused ? "Paused: p goes on." : "";
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  g: () => location.assign("/"),
  p: pause,
  "/": () => document.getElementById("filter")?.focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.addEventListener("htmx:sse:before:message", (event) => {
  heardAtMs = Date.now();
  if (isPaused) event.detail.cancelled = true;
});
document.addEventListener("htmx:sse:after:message", tick);
document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll(".chart")) {
    const chart = new Chart(figure);
    charts.push(chart);
    chart.load();
  }
  tick();
  if (document.querySelector("#live")) setInterval(watchSilence, 1000);
});
