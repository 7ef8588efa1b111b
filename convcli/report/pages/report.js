"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const SVG = "http://www.w3.org/2000/svg";

for (const hidden of all(".controls[hidden], [data-copy][hidden]")) hidden.hidden = false;

// Charts that zoom: the inner drawing is 1000 units wide, and its view box is what is shown.
function roundTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(f => f * power).find(s => s >= rough * 0.7);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return ticks;
}

// Shows the part from `from` to `to` of a chart, 0 to 1, with new ticks below it.
function showPart(chart, from, to) {
  const plot = chart.querySelector(".plot"), ticks = chart.querySelector(".ticks.x");
  const low = Number(chart.dataset.low), extent = Number(chart.dataset.high) - low;
  const left = Number(plot.getAttribute("x")), width = Number(plot.getAttribute("width"));
  const top = Number(plot.getAttribute("y")), base = top + Number(plot.getAttribute("height"));
  plot.setAttribute("viewBox", `${from * 1000} 0 ${(to - from) * 1000} 1000`);
  const shownLow = low + from * extent, shownHigh = low + to * extent;
  ticks.replaceChildren();
  for (const value of roundTicks(shownLow, shownHigh, 6)) {
    const x = left + (value - shownLow) / (shownHigh - shownLow) * width;
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("d", `M${x} ${top}V${base + 4}`);
    const text = document.createElementNS(SVG, "text");
    text.setAttribute("x", x);
    text.setAttribute("y", base + 16);
    text.setAttribute("text-anchor", "middle");
    text.textContent = String(Number(value.toPrecision(7)));
    ticks.append(line, text);
  }
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
  all("thead th", table).forEach((head, column) => {
    if (!head.textContent.trim()) return;
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
