"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const SVG = "http://www.w3.org/2000/svg";

for (const hidden of all(".controls[hidden], [data-copy][hidden]")) hidden.hidden = false;

// Charts that zoom: the inner drawing is 10,000 units wide, and its view box is what is shown.
const UNITS = 10000;

function roundTicks(low, high, count, least) {
  const rough = Math.max((high - low) / count, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(f => f * power).find(s => s >= rough * 0.7);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return ticks;
}

// Round dates and times of day: the same steps as those of convcli.
const DAY = 86400;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY, 2 * DAY, 7 * DAY, 14 * DAY];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200];

function timeTicks(low, high, count) {
  const rough = (high - low) / count * 0.7, ticks = [];
  const step = SECONDS.find(s => s >= rough);
  if (step) {
    const origin = step % (7 * DAY) ? 0 : 4 * DAY;
    for (let k = Math.ceil((low - origin) / step); origin + k * step <= high; k++) ticks.push(origin + k * step);
    return ticks;
  }
  const months = MONTHS.find(m => m * 30.44 * DAY >= rough) ?? 1200;
  const start = new Date(low * 1000);
  let month = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months) * months;
  for (;; month += months) {
    const seconds = Date.UTC(Math.floor(month / 12), month % 12) / 1000;
    if (seconds > high) return ticks;
    if (seconds >= low) ticks.push(seconds);
  }
}

function timeTexts(ticks) {
  const dates = ticks.map(seconds => new Date(seconds * 1000)), iso = dates.map(date => date.toISOString());
  if (ticks.some(seconds => seconds % DAY)) {
    return iso.map(text => {
      const time = text.slice(11, 19);
      if (time === "00:00:00") return text.slice(5, 10);
      return time.endsWith(":00") ? time.slice(0, 5) : time;
    });
  }
  if (dates.some(date => date.getUTCDate() > 1)) return iso.map(text => text.slice(0, 10));
  if (dates.some(date => date.getUTCMonth())) return iso.map(text => text.slice(0, 7));
  return dates.map(date => String(date.getUTCFullYear()));
}

// As many digits as tell the numbers apart.
function numberTexts(values) {
  for (let digits = 7; ; digits++) {
    const texts = values.map(value => String(Number(value.toPrecision(digits))));
    if (new Set(texts).size === texts.length || digits === 15) return texts;
  }
}

function svgElement(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// Whether texts at these shares of the width touch each other on a narrow screen.
function touch(shares, texts) {
  const letters = k => (texts[k - 1].length + texts[k].length) / 2;
  return shares.some((share, k) => k > 0 && 280 * (share - shares[k - 1]) < 7 * (letters(k) + 1));
}

// Shows the part from `from` to `to` of a chart, 0 to 1, with new ticks below it.
function showPart(chart, from, to) {
  const plot = chart.querySelector(".plot"), ticks = chart.querySelector(".ticks.x");
  const low = Number(chart.dataset.low), extent = Number(chart.dataset.high) - low;
  const base = Number(chart.getAttribute("height")), timed = "timed" in chart.dataset;
  plot.setAttribute("viewBox", `${from * UNITS} 0 ${(to - from) * UNITS} ${UNITS}`);
  const shownLow = low + from * extent, shownHigh = low + to * extent;
  const least = "whole" in chart.dataset ? 1 : 0;
  const count = Math.max(4, Math.min(6, Math.round(chart.clientWidth / 140)));
  const values = (timed ? timeTicks : roundTicks)(shownLow, shownHigh, count, least);
  const shares = values.map(value => (value - shownLow) / (shownHigh - shownLow));
  const texts = timed ? timeTexts(values) : numberTexts(values);
  ticks.classList.toggle("crowded", timed || touch(shares, texts));
  ticks.replaceChildren();
  shares.forEach((share, number) => {
    const x = `${100 * share}%`;
    const wide = timed || texts[number].length > 4;
    const anchor = wide && share > 0.95 ? "end" : "middle";
    ticks.append(svgElement("line", { x1: x, x2: x, y1: 0, y2: base + 4 }));
    ticks.append(svgElement("text", { x, y: base + 17, "text-anchor": anchor }, texts[number]));
  });
}

// Charts that share an axis are zoomed together.
function linkZoom(charts, buttons) {
  let from = 0, to = 1;

  function show(a, b) {
    const size = Math.min(1, Math.max(1e-4, b - a));
    from = Math.min(Math.max(0, a), 1 - size);
    to = from + size;
    for (const chart of charts) showPart(chart, from, to);
  }

  function zoom(factor, at = 0.5) {
    const place = from + at * (to - from), size = (to - from) * factor;
    show(place - at * size, place - at * size + size);
  }

  const move = share => show(from + share * (to - from), to + share * (to - from));
  const actions = { in: () => zoom(0.5), out: () => zoom(2), left: () => move(-0.3), right: () => move(0.3), all: () => show(0, 1) };
  const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", "0": "all" };
  for (const button of buttons) button.addEventListener("click", () => actions[button.dataset.zoom]());
  for (const chart of charts) {
    const where = event => {
      const box = chart.querySelector(".plot").getBoundingClientRect();
      return (event.clientX - box.left) / box.width;
    };
    let drag = null;
    chart.addEventListener("keydown", event => {
      if (!keys[event.key]) return;
      actions[keys[event.key]]();
      event.preventDefault();
    });
    chart.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25, where(event));
    }, { passive: false });
    chart.addEventListener("pointerdown", event => {
      if (event.pointerType !== "mouse") return;
      drag = where(event);
      chart.setPointerCapture(event.pointerId);
    });
    chart.addEventListener("pointermove", event => {
      if (drag === null || to - from >= 1) return;
      move(drag - where(event));
      drag = where(event);
    });
    chart.addEventListener("pointerup", () => { drag = null; });
    chart.addEventListener("dblclick", event => zoom(0.4, where(event)));
  }
}
for (const group of all("[data-linked]")) linkZoom(all("svg.chart[data-low]", group), all("[data-zoom]", group));
for (const chart of all("svg.chart[data-low]")) if (!chart.closest("[data-linked]")) linkZoom([chart], []);

// Two players that keep their position when one switches between them.
for (const players of all(".players")) {
  const sounds = all("audio", players), buttons = all("[data-player]", players);
  let heard = 0;
  sounds.forEach((sound, number) => {
    sound.hidden = number !== 0;
    sound.addEventListener("play", () => sounds.forEach(other => { if (other !== sound) other.pause(); }));
  });
  buttons.forEach((button, number) => button.addEventListener("click", () => {
    const old = sounds[heard], next = sounds[number];
    if (old === next) return;
    const playing = !old.paused;
    old.pause();
    next.currentTime = old.currentTime;
    old.hidden = true;
    next.hidden = false;
    heard = number;
    buttons.forEach((each, k) => each.setAttribute("aria-pressed", String(k === number)));
    if (playing) next.play();
  }));
}

// The slider between a picture before and after.
for (const slider of all(".slider")) {
  const range = slider.querySelector("input"), over = slider.querySelector(".over");
  const edge = slider.querySelector(".edge"), stack = slider.querySelector(".stack");
  const show = () => {
    over.style.clipPath = `inset(0 0 0 ${range.value}%)`;
    edge.style.left = `${range.value}%`;
  };
  range.addEventListener("input", show);
  const follow = event => {
    const box = stack.getBoundingClientRect();
    range.value = String(100 * (event.clientX - box.left) / box.width);
    show();
  };
  stack.addEventListener("pointerdown", event => { stack.setPointerCapture(event.pointerId); follow(event); });
  stack.addEventListener("pointermove", event => { if (event.buttons) follow(event); });
  for (const image of all("img", stack)) image.draggable = false;
}

// Tables that sort by a click on a column, and show the rows that hold a word.
for (const table of all("table.sortable")) {
  const body = table.tBodies[0];
  all("thead th", table).forEach(head => {
    const column = head.cellIndex;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const order = (a, b) => {
        const x = value(a), y = value(b);
        return x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
      };
      const rows = [...body.rows].sort(order);
      body.append(...(falling ? rows.reverse() : rows));
    });
  });
}
for (const input of all("[data-filter]")) {
  const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
  const count = input.closest(".controls").querySelector(".count");
  input.addEventListener("input", () => {
    const word = input.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(word);
    count.textContent = word ? `${rows.filter(row => !row.hidden).length} of ${rows.length}` : "";
  });
}

for (const button of all("[data-copy]")) {
  button.addEventListener("click", () => {
    const text = button.closest(".command").querySelector("code").textContent;
    navigator.clipboard.writeText(text).then(() => { button.textContent = "Copied"; });
  });
}
