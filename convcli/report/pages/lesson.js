"use strict";
// The lesson page: a kernel that moves over a signal, with numbers that can be edited.
// The numbers that the page starts with were computed by convcli. After an edit they are computed
// here, by the same rules: the signal is extended once at its ends, and every stage reads complete
// windows.

const lesson = JSON.parse(document.getElementById("data").textContent);
// Digits in a sentence and in a cell.
const DIGITS = 6;
const CELL_DIGITS = 4;
const CELL_LENGTH = 7;
// A sum of more products, or a window of more samples, is written with dots, and folded below them
// in full.
const MOST_TERMS = 9;
// Cells and dots that lie beside each other on paper.
const COLUMNS = 11;
const COLUMNS_OF_PLANE = 15;
const DOTS = 24;

// ---------------------------------------------------------------------------------- small helpers

function element(tag, attributes = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value;
    else if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function shown(value, digits = DIGITS) {
  if (value === null || Number.isNaN(value)) return "·";
  return String(Number(Number(value).toPrecision(digits)) + 0);
}

// A number with as many digits as a cell has room for; sums are written with all.
function shownInCell(value) {
  for (let digits = CELL_DIGITS; digits > 1; digits--) {
    const text = shown(value, digits);
    if (text.length <= CELL_LENGTH) return text;
  }
  return Number(value).toExponential(0);
}

// A number within a product: negative ones in brackets.
function factor(value) {
  const text = shown(value);
  return text.startsWith("-") ? `(${text})` : text;
}

// The first three and the last one of many texts, with dots between them.
function shortened(texts) {
  return texts.length > MOST_TERMS ? [...texts.slice(0, 3), "\u2026", texts.at(-1)] : texts;
}

// Make an element on the page equal to a new one. Elements of the same kind are kept, so that a field
// keeps the focus and a row its scroll position.
function becomes(old, made) {
  if (old.tagName !== made.tagName) return old.replaceWith(made);
  for (const { name } of [...old.attributes]) if (!made.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of made.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (made.tagName === "INPUT") {
    old.edit = made.edit;
    if (old.value !== made.value) old.value = made.value;
    return undefined;
  }
  if (!made.children.length) {
    if (old.children.length || old.textContent !== made.textContent) old.textContent = made.textContent;
    return undefined;
  }
  if (!old.children.length) return old.replaceChildren(...made.children);
  const children = [...made.children];
  [...old.children].slice(children.length).forEach((child) => child.remove());
  [...old.children].forEach((child, i) => becomes(child, children[i]));
  old.append(...children.slice(old.children.length));
  return undefined;
}

const modulo = (a, b) => ((a % b) + b) % b;

// Where a sample outside of [0, n) is taken from; null where nothing is there.
function inside(i, n, edge) {
  if (i >= 0 && i < n) return i;
  if (edge === "edge") return Math.min(Math.max(i, 0), n - 1);
  if (edge === "wrap") return modulo(i, n);
  if (edge === "reflect") {
    const period = Math.max(2 * (n - 1), 1);
    const folded = modulo(i, period);
    return folded < n ? folded : period - folded;
  }
  if (edge === "symmetric") {
    const folded = modulo(i, 2 * n);
    return folded < n ? folded : 2 * n - 1 - folded;
  }
  return null;
}

// ----------------------------------------------------------------------------------- computation

// A stage with a level for the channels, whatever it came with. A line is a plane of one row, so
// that everything below has two axes.
function prepared(stage) {
  const line = stage.stride.length === 1;
  const several = stage.channels_in.length > 1 || stage.channels_out.length > 1;
  const channels = (values) => (several ? values : [values]);
  const plane = (values) => (line ? [values] : values);
  const made = {
    text: stage.text,
    line,
    several,
    channelsIn: stage.channels_in,
    channelsOut: stage.channels_out,
    first: line ? [0, stage.first[0]] : stage.first,
    length: line ? [1, stage.length[0]] : stage.length,
    stride: line ? [1, stage.stride[0]] : stage.stride,
    size: line ? [1, stage.size[0]] : stage.size,
    inputs: channels(stage.inputs).map(plane),
    outputs: channels(stage.outputs).map(plane),
    flipped: stage.flipped,
    groups: stage.groups,
    divisor: stage.divisor,
    bias: stage.bias,
    gaps: stage.gaps,
    summarises: stage.summarises,
    before: line ? [0, stage.before[0]] : stage.before,
    padding: stage.padding,
    branches: stage.branches.map((branch) => ({
      text: branch.text,
      first: line ? [0, branch.first[0]] : branch.first,
      stages: branch.stages,
      results: (branch.several ? branch.results : [branch.results]).map(plane),
    })),
    // A call with numbers for each channel is not computed here.
    call: stage.nn_numbers.length ? "" : stage.nn_call,
    name: stage.text.split(":")[0].trim(),
  };
  if (stage.flipped !== null) {
    const laid = several ? stage.laid : [[stage.laid]];
    made.weights = laid.map((output) => output.map(plane));
  }
  if (stage.spread) made.spread = preparedSpread(stage.spread, line, several);
  // Where window 0 begins in the array of inputs, and the index of output 0.
  const origin = stage.sums.length ? stage.sums[0] : null;
  const at = origin ? origin.at : stage.at;
  const start = origin ? origin.first : stage.first;
  made.at = line ? [0, at[0]] : at;
  if (made.spread) made.at = made.spread.at;
  const phases = stage.phases.length ? stage.phases : stage.stride.map(() => 1);
  made.phases = line ? [1, phases[0]] : phases;
  made.resampled = stage.phases.length > 0;
  made.pads = stage.only_pads;
  if (made.pads) made.size = [1, 1];
  // Each output is one of the inputs: of a padding, of a repetition and of interleaved channels.
  made.copies = made.pads || (made.resampled && stage.nn_call !== "");
  made.start = (line ? [0, start[0]] : start).map((place, axis) => place - made.first[axis]);
  return made;
}

// A transposed convolution, whose inputs spread the kernel over the outputs.
function preparedSpread(spread, line, several) {
  const two = (sizes, before) => (line ? [before, sizes[0]] : sizes);
  const kernel = several ? spread.kernel : [[spread.kernel]];
  return {
    kernel: kernel.map((output) => output.map((taps) => (line ? [taps] : taps))),
    stride: two(spread.stride, 1),
    first: two(spread.first, 0),
    at: two(spread.at, 0),
    groups: spread.groups,
    bias: spread.bias,
  };
}

// The output channels that an input channel adds to, each with the kernel from one to the other.
function copiesOf(spread, channel) {
  const taken = spread.kernel[0].length;
  const group = Math.floor(channel / taken);
  const made = spread.kernel.length / spread.groups;
  return Array.from({ length: made }, (_, i) => [group * made + i, spread.kernel[group * made + i][channel % taken]]);
}

// The outputs of a transposed convolution, summed up from the first `count` copies of its kernel.
function spreadOutputs(stage, count = Infinity) {
  const { spread } = stage;
  const outputs = stage.outputs.map((plane, output) => plane.map((line) => line.map(() => spread.bias[output] ?? 0)));
  let number = 0;
  stage.inputs.forEach((plane, channel) =>
    plane.forEach((line, r) =>
      line.forEach((x, c) => {
        number += 1;
        if (number > count) return;
        for (const [output, kernel] of copiesOf(spread, channel))
          kernel.forEach((weights, i) =>
            weights.forEach((w, j) => {
              const [row, column] = spreadTo(spread, [r, c], [i, j]);
              if (outputs[output][row]?.[column] !== undefined) outputs[output][row][column] += w * x;
            }),
          );
      }),
    ),
  );
  return outputs;
}

// The place in the array of outputs that a tap of the copy of an input adds to.
function spreadTo(spread, input, tap) {
  return [0, 1].map((axis) => input[axis] * spread.stride[axis] + spread.first[axis] + tap[axis] - spread.at[axis]);
}

// Where the window of an output begins in the array of inputs; null for an output of a padding that
// is no sample of the input.
function startOf(stage, axis, k) {
  if (stage.pads) return inside(k + stage.at[axis] - stage.before[axis], stage.length[axis], stage.padding);
  if (!stage.resampled) return stage.start[axis] + k * stage.stride[axis];
  const aligned = Math.floor(((k + stage.at[axis]) * stage.stride[axis]) / stage.phases[axis]);
  return aligned - stage.before[axis] - stage.first[axis];
}

// The channels that an output reads. Of channels that are interleaved it is one, by its place.
function reads(stage, output, index) {
  const [rows, columns] = stage.phases;
  if (stage.copies && stage.channelsIn.length === stage.channelsOut.length * rows * columns && !stage.pads) {
    const [row, column] = index.map((k, axis) => modulo(k + stage.at[axis], stage.phases[axis]));
    return [(output * rows + row) * columns + column];
  }
  if (stage.flipped === null) {
    const same = stage.channelsIn.length === stage.channelsOut.length;
    return same ? [output] : stage.channelsIn.map((_, channel) => channel);
  }
  const count = stage.weights[0].length;
  const group = Math.floor((output * stage.groups) / stage.channelsOut.length);
  return Array.from({ length: count }, (_, i) => group * count + i);
}

// The samples of a window, one plane for each channel that is read.
function windowOf(stage, output, index) {
  const [row, column] = index.map((k, axis) => startOf(stage, axis, k));
  if (row === null || column === null) return [];
  return reads(stage, output, index).map((channel) =>
    stage.inputs[channel].slice(row, row + stage.size[0]).map((line) => line.slice(column, column + stage.size[1])),
  );
}

// The sample that an output is aligned with, in the first channel that it reads.
function alignedSample(stage, output, index) {
  const [row, column] = index.map((k, axis) => stage.start[axis] + k * stage.stride[axis] + stage.before[axis]);
  return stage.inputs[reads(stage, output, index)[0]][row][column];
}

const FUNCTIONS = {
  relu: (x) => Math.max(x, 0),
  leaky_relu: (x, slope = 0.01) => (x >= 0 ? x : slope * x),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
};

// Steps of one sample that frameworks call otherwise.
const POINTWISE = { abs: Math.abs, square: (x) => x * x, sign: Math.sign };

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function variance(values) {
  const middle = mean(values);
  return (mean(values.map((value) => (value - middle) ** 2)) * values.length) / (values.length - 1);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const largest = (values) => Math.max(...values);
const smallest = (values) => Math.min(...values);
// Functions of a window. Pools leave missing samples out, the others are computed where none is missing.
const POOLS = {
  max_pool: largest,
  min_pool: smallest,
  median_pool: median,
  first_pool: (values) => values[0],
  last_pool: (values) => values.at(-1),
};
const WINDOWS = {
  max: largest,
  dilate: largest,
  min: smallest,
  erode: smallest,
  median,
  var: variance,
  std: (values) => Math.sqrt(variance(values)),
  rms: (values) => Math.sqrt(mean(values.map((value) => value * value))),
};

// The function of a window, if it has no further arguments.
function windowFunction(stage) {
  if (!/^\w+(:[\dx]+(,stride=[\dx]+)?)?$/.test(stage.text)) return null;
  return POOLS[stage.name] ?? WINDOWS[stage.name] ?? null;
}

const OPERATORS = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => (b === 0 ? null : a / b),
};

// How a group of two branches combines what they give; null where it is written otherwise.
function combination(stage) {
  if (stage.branches.length !== 2) return null;
  const [left, right] = stage.branches.map(({ text }) => [text, `(${text})`]);
  const found = Object.keys(OPERATORS).find((sign) =>
    left.some((a) => right.some((b) => stage.text === `${a} ${sign} ${b}`)),
  );
  return found ? OPERATORS[found] : null;
}

// Whether a stage can be computed only as long as no sample is missing.
function needsAll(stage) {
  return stage.gaps === "hold" || (stage.flipped === null && stage.name in WINDOWS);
}

function activation(stage) {
  if (stage.name in POINTWISE && stage.text === stage.name) return POINTWISE[stage.name];
  const product = /^\(\{x\} \* ([^)]*)\)$/.exec(stage.call);
  if (product) return (x) => x * Number(product[1]);
  const found = /^(\w+)\(\{x\}(?:, ([^)]*))?\)$/.exec(stage.call);
  if (!found || !(found[1] in FUNCTIONS)) return null;
  const argument = found[2] === undefined ? undefined : Number(found[2]);
  return (x) => FUNCTIONS[found[1]](x, argument);
}

// Whether a stage can be computed here.
function known(stage, edge) {
  if (stage.spread) return true;
  const complete = edge !== "shrink" && !stage.inputs.flat(2).includes(null);
  if (needsAll(stage) && !complete) return false;
  if (stage.flipped !== null || stage.copies) return true;
  if (stage.branches.length) {
    const computable = stage.branches.every((branch) => !branch.demo || branch.demo.computable);
    return computable && combination(stage) !== null;
  }
  return activation(stage) !== null || windowFunction(stage) !== null;
}

// What a group makes of its branches.
function combined(stage, output, [row, column]) {
  const operands = stage.branches.map(({ results }) => results[Math.min(output, results.length - 1)][row][column]);
  return operands.includes(null) ? null : combination(stage)(...operands);
}

function computed(stage, output, index) {
  if (stage.flipped === null && stage.branches.length) return combined(stage, output, index);
  const window = windowOf(stage, output, index);
  const values = window.flat(2);
  if (stage.copies) {
    if (values.length) return values[0];
    return stage.padding === "shrink" ? null : 0;
  }
  if (stage.flipped === null) {
    const present = values.filter((value) => value !== null);
    if (!present.length) return null;
    const function_ = activation(stage);
    if (function_) return function_(present[0]);
    return windowFunction(stage)(present);
  }
  const weights = stage.weights[output].flat(2);
  const bias = stage.bias.length ? stage.bias[output] : 0;
  let total = 0;
  let share = 0;
  let missing = false;
  values.forEach((value, i) => {
    if (value === null) missing = true;
    else {
      total += weights[i] * value;
      share += weights[i];
    }
  });
  if (missing && stage.gaps !== "renormalise") return null;
  if (missing && !stage.summarises && alignedSample(stage, output, index) === null) return null;
  if (missing) total = share ? (total * weights.reduce((a, b) => a + b, 0)) / share : null;
  return total === null ? null : total / stage.divisor + bias;
}

// Compute all stages again from the inputs of the first one.
function recompute(stages) {
  stages.forEach((stage, number) => {
    if (number > 0) stage.inputs = taken(stage, stages[number - 1]);
    stage.branches.forEach((branch) => followBranch(branch, stage));
    if (stage.spread) stage.outputs = spreadOutputs(stage);
    else stage.outputs = stage.outputs.map((plane, output) =>
      plane.map((line, row) => line.map((_, column) => computed(stage, output, [row, column]))),
    );
  });
}

// What a stage takes from the one before: a layer that pads extends it by its own rule, another one
// computes with all that it is given.
function taken(stage, previous) {
  const rule = stage.spread ? "zero" : stage.padding;
  const pick = (i, axis) => (rule ? inside(i, stage.length[axis], rule) : i);
  return stage.inputs.map((plane, channel) =>
    plane.map((line, r) =>
      line.map((_, c) => {
        const row = pick(r + stage.first[0], 0);
        const column = pick(c + stage.first[1], 1);
        if (row === null || column === null) return 0;
        return previous.outputs[channel][row - previous.at[0]][column - previous.at[1]];
      }),
    ),
  );
}

// Extend the signal again: a layer that pads does so by its own rule.
function extendAgain(stage, edgeOfSignal) {
  const edge = stage.padding || edgeOfSignal;
  const [rows, columns] = stage.length;
  const outside = edge === "shrink" ? null : 0;
  stage.inputs = stage.inputs.map((plane) =>
    plane.map((line, r) =>
      line.map((value, c) => {
        const row = inside(r + stage.first[0], rows, edge);
        const column = inside(c + stage.first[1], columns, edge);
        if (row === null || column === null) return outside;
        return plane[row - stage.first[0]][column - stage.first[1]];
      }),
    ),
  );
}

function isOutside(stage, row, column) {
  const place = [row + stage.first[0], column + stage.first[1]];
  return place.some((i, axis) => i < 0 || i >= stage.length[axis]);
}

// ---------------------------------------------------------------------------------------- cells

// A cell with a number, which can be edited where `edit` is given.
function cell(value, classes, label, edit) {
  const made = element("div", { class: `cell ${classes}` });
  const text = shownInCell(value);
  if (text.length > 5) made.classList.add("long");
  if (text.length > 6) made.classList.add("longer");
  made.title = value === null ? "missing" : String(value);
  // An output that is not yet computed is not read out either.
  if (made.classList.contains("later")) made.setAttribute("aria-hidden", "true");
  if (!edit) {
    made.textContent = text;
    return made;
  }
  const field = element("input", { type: "number", step: "any", "aria-label": label });
  field.value = value === null ? "" : text;
  field.edit = edit;
  field.addEventListener("change", () => field.edit(field.value === "" ? null : Number(field.value)));
  made.append(field);
  return made;
}

// The output of one channel is y; one of several is called by its name.
function outputName(stage, channel) {
  return stage.channelsOut.length === 1 ? "output y" : `output ${stage.channelsOut[channel]}`;
}

// A row that is read out under the name that stands before it.
function rowOf(kind, label, cells) {
  const name = element("div", { class: "label", text: label, title: label, "aria-hidden": "true" });
  return element("div", { class: `row ${kind}`, role: "group", "aria-label": label }, [name, ...cells]);
}

// Scroll a row sideways, so that its current output is in sight.
function showCurrent(scroll) {
  const now = scroll.querySelector(".output .now") ?? scroll.querySelector(".cell.now, .dot[tabindex='0']");
  if (!now || scroll.scrollWidth <= scroll.clientWidth) return;
  const seen = scroll.getBoundingClientRect();
  const place = now.getBoundingClientRect();
  const label = scroll.querySelector(".label")?.clientWidth ?? 0;
  const left = seen.left + label;
  if (place.left >= left && place.right <= seen.right) return;
  scroll.scrollLeft += (place.left + place.right) / 2 - (left + seen.right) / 2;
}

// A paragraph that is shown by a click on its title.
function folded(title) {
  const text = element("p", { class: "whole" });
  return element("details", {}, [element("summary", { text: title }), text]);
}

// Rows of cells of a picture, with a caption.
function planeFigure(kind, caption, rows) {
  return element("figure", { class: `plane ${kind}` }, [
    element("div", { class: "scroll" }, rows.map((cells) => element("div", { class: "row" }, cells))),
    element("figcaption", { text: caption }),
  ]);
}

function blanks(count) {
  return Array.from({ length: Math.max(0, count) }, () => element("div", { class: "cell blank" }));
}

// Compute a branch of a group again, which reads what the group reads.
function followBranch(branch, stage) {
  const given = { outputs: stage.inputs, at: stage.first };
  if (!branch.demo) {
    branch.results = branch.results.map((plane, channel) =>
      plane.map((line, r) =>
        line.map((_, c) => {
          const [row, column] = [r, c].map((i, axis) => i + branch.first[axis] - stage.first[axis]);
          return stage.inputs[channel][row][column];
        }),
      ),
    );
    return;
  }
  const { stages } = branch.demo;
  stages[0].inputs = taken(stages[0], given);
  recompute(stages);
  branch.results = stages.at(-1).outputs;
  branch.demo.draw();
}

// ----------------------------------------------------------------------------------------- demo

class Demo {
  // fixed: a branch of a group, whose numbers are edited in the group.
  constructor(place, facts, fixed = false) {
    this.facts = facts;
    this.fixed = fixed;
    this.stages = facts.stages.map(prepared);
    this.needsAll = this.stages.some((stage) => needsAll(stage) || stage.branches.length > 0);
    this.current = this.stages.map(() => 0);
    this.sums = [];
    this.wholeSums = [];
    this.views = this.stages.map((stage, number) => {
      const view = element("div", { class: "stage" });
      this.showBranches(place, stage);
      // A branch of one stage has its name above.
      if (!fixed || this.stages.length > 1) place.append(element("h3", { text: stage.text }));
      place.append(element("p", { text: this.words(stage, number) }));
      const content = element("div");
      this.sums.push(element("p", { class: "sum", "aria-live": "polite" }));
      this.wholeSums.push(folded("The whole sum"));
      // What is below the controls may change its height, and they stay under the pointer.
      view.append(this.controls(number), content, this.sums[number], this.wholeSums[number]);
      place.append(view);
      return content;
    });
    const unknown = this.stages.filter((stage) => !known(stage, facts.edge));
    this.computable = !unknown.length;
    this.editable = !fixed && this.computable;
    if (!fixed && unknown.length) place.prepend(element("p", { text: this.notEditable(unknown) }));
    if (this.stages.length > 1) place.append(receptiveField(this.stages));
    this.draw();
    place.querySelectorAll(":scope > .field .scroll").forEach(showCurrent);
  }

  // Each branch of a group, as a demo of its own above the group.
  showBranches(place, stage) {
    for (const branch of stage.branches) {
      if (!branch.stages.length) continue;
      const own = element("div", { class: "branch" }, [element("p", { class: "of", text: `Branch ${branch.text}` })]);
      branch.demo = new Demo(own, { stages: branch.stages, edge: this.facts.edge }, true);
      place.append(own);
    }
  }

  // Why no number can be edited.
  notEditable(unknown) {
    const names = [...new Set(unknown.map(({ text }) => text))].join(", ");
    const missing = unknown.some((stage) => stage.inputs.flat(2).includes(null));
    const why = missing ? " where samples are missing" : "";
    return `Numbers cannot be edited here, because this page does not compute ${names}${why}.`;
  }

  // What is input and what is output, in words.
  words(stage, number) {
    const signal = this.fixed ? "what the group of branches reads" : "the signal";
    const inputs = number === 0 ? signal : "what the stage above gives";
    const end = this.fixed ? "what the branch gives" : "the result";
    const last = number === this.stages.length - 1 ? end : "what goes to the stage below";
    const colours = stage.line
      ? `The blue row is the input, ${inputs}; the green row is the output, ${last}.`
      : `The blue square is the input, ${inputs}; the green square is the output, ${last}.`;
    if (stage.branches.length && stage.flipped !== null)
      return `${colours} Each branch (violet) reads the same input. Together they are one kernel (orange), whose products with the input add up to the same.`;
    if (stage.branches.length) return `${colours} Each branch (violet) reads the same input, and the output combines what they give.`;
    if (stage.spread)
      return `${colours} Each input multiplies the kernel (orange), and the products (violet) are added to the outputs below them. With a stride the copies lie that far apart, as if zeros lay between the inputs.`;
    if (stage.flipped === null) return `${colours} Each output is computed from the marked inputs.`;
    const flip = stage.flipped ? "flipped, as a convolution does it" : "as it is, which is what Conv1d does";
    return `${colours} The kernel (orange) lies over the input ${flip}; the products (violet) are added up.`;
  }

  // One position for each output, or for each input that is spread.
  played(stage) {
    return stage.spread ? stage.inputs : stage.outputs;
  }

  count(stage) {
    const planes = this.played(stage);
    return planes.length * planes[0].length * planes[0][0].length;
  }

  // The channel, row and column of a number.
  place(stage, number) {
    const planes = this.played(stage);
    const columns = planes[0][0].length;
    const rows = planes[0].length;
    return [Math.floor(number / (rows * columns)), Math.floor(number / columns) % rows, number % columns];
  }

  controls(number) {
    const last = this.count(this.stages[number]) - 1;
    const label = `position of the ${this.stages[number].spread ? "input" : "output"}`;
    const slider = element("input", { type: "range", min: 0, max: last, value: 0, "aria-label": label });
    const back = element("button", { type: "button", text: "Back" });
    const step = element("button", { type: "button", text: "Step" });
    const play = element("button", { type: "button", text: "Play" });
    this.sliders ??= [];
    this.sliders.push(slider);
    const go = (to) => {
      this.current[number] = Math.min(Math.max(to, 0), last);
      slider.value = this.current[number];
      this.drawStage(number);
    };
    slider.addEventListener("input", () => go(Number(slider.value)));
    back.addEventListener("click", () => go(this.current[number] - 1));
    step.addEventListener("click", () => go(this.current[number] + 1));
    let timer = null;
    const stop = () => {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
      this.sums[number].setAttribute("aria-live", "polite");
    };
    play.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (this.current[number] >= last) go(0);
      play.textContent = "Pause";
      // Nobody can listen to every sum while the kernel moves.
      this.sums[number].setAttribute("aria-live", "off");
      timer = setInterval(() => {
        if (this.current[number] >= last) return stop();
        go(this.current[number] + 1);
      }, 700);
    });
    const group = { class: "controls", role: "group", "aria-label": `play ${this.stages[number].text}` };
    return element("div", group, [back, step, play, slider]);
  }

  draw() {
    this.stages.forEach((_, number) => this.drawStage(number));
  }

  drawStage(number) {
    const stage = this.stages[number];
    const place = this.place(stage, this.current[number]);
    const lineView = stage.spread ? this.spreadLine : this.lineView;
    const planeView = stage.spread ? this.spreadPlane : this.planeView;
    const view = stage.line ? lineView : planeView;
    const drawn = view.call(this, stage, number, place);
    becomes(this.views[number], element("div", {}, drawn));
    const sum = this.sum(stage, place);
    if (this.sums[number].textContent !== sum) this.sums[number].textContent = sum;
    this.sliders[number].setAttribute("aria-valuetext", sum);
    const whole = this.sum(stage, place, (texts) => texts);
    this.wholeSums[number].hidden = whole === sum;
    this.wholeSums[number].querySelector("p").textContent = whole;
    this.views[number].querySelectorAll(".scroll").forEach(showCurrent);
  }

  changed() {
    extendAgain(this.stages[0], this.facts.edge);
    recompute(this.stages);
    this.draw();
  }

  editInput(stage, number, channel, row, column) {
    if (!this.editable || number > 0 || isOutside(stage, row, column)) return null;
    return (value) => {
      stage.inputs[channel][row][column] = value === null && this.needsAll ? 0 : value;
      this.changed();
    };
  }

  editWeight(stage, output, which, row, column) {
    if (!this.editable || stage.branches.length) return null;
    return (value) => {
      (stage.spread ? stage.spread.kernel : stage.weights)[output][which][row][column] = value ?? 0;
      this.changed();
    };
  }

  inWindow(stage, place, channel, row, column) {
    if (stage.spread) return channel === place[0] && row === place[1] && column === place[2];
    const index = place.slice(1);
    const start = index.map((k, axis) => startOf(stage, axis, k));
    if (start.includes(null)) return false;
    const within = row >= start[0] && row < start[0] + stage.size[0] && column >= start[1] && column < start[1] + stage.size[1];
    return within && reads(stage, place[0], index).includes(channel);
  }

  inputCell(stage, number, place, channel, row, column) {
    const value = stage.inputs[channel][row][column];
    const classes = [isOutside(stage, row, column) ? "outside" : "", this.inWindow(stage, place, channel, row, column) ? "now" : ""];
    const edit = this.editInput(stage, number, channel, row, column);
    return cell(value, classes.join(" "), `input ${stage.channelsIn[channel]} ${row + stage.first[0]} ${column + stage.first[1]}`, edit);
  }

  lineView(stage, number, place) {
    const [output, , k] = place;
    const start = stage.start[1] + k * stage.stride[1];
    const window = windowOf(stage, output, [0, k]);
    const n = stage.inputs[0][0].length;
    const indices = Array.from({ length: n }, (_, i) => element("div", { class: "cell", text: String(i + stage.first[1]) }));
    const rows = [rowOf("index", "index", indices)];
    stage.inputs.forEach((plane, channel) => {
      const cells = plane[0].map((_, i) => this.inputCell(stage, number, place, channel, 0, i));
      rows.push(rowOf("input", `input ${stage.channelsIn[channel]}`, cells));
    });
    const weighted = stage.flipped === null ? [] : reads(stage, output);
    weighted.forEach((channel, which) => {
      const samples = window[which][0];
      const weights = stage.weights[output][which][0];
      const taps = weights.map((w, j) => cell(w, "", `tap ${j}`, this.editWeight(stage, output, which, 0, j)));
      const of = stage.several ? ` ${stage.channelsIn[channel]}` : "";
      rows.push(rowOf("kernel", `kernel${of}`, [...blanks(start), ...taps]));
      const products = weights.map((w, j) => cell(samples[j] === null ? null : w * samples[j], ""));
      rows.push(rowOf("product", `products${of}`, [...blanks(start), ...products]));
    });
    // What each branch gives stands over the output that is made of it.
    stage.branches.forEach((branch) => {
      const cells = [];
      branch.results[Math.min(output, branch.results.length - 1)][0].forEach((value, i) => {
        const column = (i + stage.at[1]) * stage.stride[1] - stage.first[1];
        cells.push(...blanks(column - cells.length));
        cells.push(cell(value, `${i > k ? "later" : ""} ${i === k ? "now" : ""}`));
      });
      rows.push(rowOf("product", branch.text, cells));
    });
    stage.outputs.forEach((plane, channel) => {
      const cells = [];
      plane[0].forEach((value, i) => {
        // An output stands below the input with its index times the stride.
        const column = (i + stage.at[1]) * stage.stride[1] - stage.first[1];
        cells.push(...blanks(column - cells.length));
        const later = channel > output || (channel === output && i > k);
        const now = channel === output && i === k;
        cells.push(cell(value, `${later ? "later" : ""} ${now ? "now" : ""}`));
      });
      rows.push(rowOf("output", outputName(stage, channel), cells));
    });
    return [element("div", { class: "scroll" }, rows)];
  }

  // A transposed convolution: the inputs as far apart as the stride says, below them the copy of the
  // kernel of one input, and what the copies so far add up to.
  spreadLine(stage, number, place) {
    const { spread } = stage;
    const [source, , k] = place;
    const low = Math.min(spread.first[1], spread.at[1]);
    const columnOf = (i) => i * spread.stride[1] + spread.first[1] - low;
    const taps = spread.kernel[0][0][0].length;
    const last = Math.max(columnOf(stage.inputs[0][0].length - 1) + taps, stage.outputs[0][0].length + spread.at[1] - low);
    const indices = Array.from({ length: last }, (_, i) => element("div", { class: "cell", text: String(i + low) }));
    const rows = [rowOf("index", "output index", indices)];
    stage.inputs.forEach((plane, channel) => {
      const cells = [];
      plane[0].forEach((_, i) => {
        cells.push(...blanks(columnOf(i) - cells.length));
        cells.push(this.inputCell(stage, number, place, channel, 0, i));
      });
      rows.push(rowOf("input", `input ${stage.channelsIn[channel]}`, cells));
    });
    const x = stage.inputs[source][0][k];
    const which = source % spread.kernel[0].length;
    for (const [output, kernel] of copiesOf(spread, source)) {
      const of = stage.several ? ` to ${stage.channelsOut[output]}` : "";
      const weights = kernel[0].map((w, j) => cell(w, "", `tap ${j}`, this.editWeight(stage, output, which, 0, j)));
      rows.push(rowOf("kernel", `kernel${of}`, [...blanks(columnOf(k)), ...weights]));
      rows.push(rowOf("product", `products${of}`, [...blanks(columnOf(k)), ...kernel[0].map((w) => cell(w * x, ""))]));
    }
    this.soFar(stage, number).forEach((plane, channel) => {
      const cells = plane[0].map((value, i) => cell(value, this.gets(stage, place, channel, 0, i) ? "now" : ""));
      rows.push(rowOf("output", outputName(stage, channel), [...blanks(spread.at[1] - low), ...cells]));
    });
    return [element("div", { class: "scroll" }, rows)];
  }

  spreadPlane(stage, number, place) {
    const { spread } = stage;
    const [source, r, c] = place;
    const figures = stage.inputs.map((plane, channel) => {
      const rows = plane.map((line, i) => line.map((_, j) => this.inputCell(stage, number, place, channel, i, j)));
      return planeFigure("input", `input ${stage.channelsIn[channel]}`, rows);
    });
    const x = stage.inputs[source][r][c];
    const which = source % spread.kernel[0].length;
    for (const [output, kernel] of copiesOf(spread, source)) {
      const taps = kernel.map((line, i) =>
        line.map((w, j) => cell(w, "", `tap ${i} ${j}`, this.editWeight(stage, output, which, i, j))),
      );
      figures.push(planeFigure("kernel", `kernel for ${stage.channelsOut[output]}`, taps));
      const products = kernel.map((line) => line.map((w) => cell(w * x, "")));
      figures.push(planeFigure("product", `products for ${stage.channelsOut[output]}`, products));
    }
    this.soFar(stage, number).forEach((plane, channel) => {
      const rows = plane.map((line, i) =>
        line.map((value, j) => cell(value, this.gets(stage, place, channel, i, j) ? "now" : "")),
      );
      figures.push(planeFigure("output", outputName(stage, channel), rows));
    });
    return [element("div", { class: "planes" }, figures)];
  }

  // The outputs as the copies up to the current input make them.
  soFar(stage, number) {
    return spreadOutputs(stage, this.current[number] + 1);
  }

  // Whether the copy of the current input adds to an output.
  gets(stage, place, channel, row, column) {
    const copy = copiesOf(stage.spread, place[0]).find(([output]) => output === channel);
    if (!copy) return false;
    const start = spreadTo(stage.spread, place.slice(1), [0, 0]);
    const size = [copy[1].length, copy[1][0].length];
    return [row, column].every((i, axis) => i >= start[axis] && i < start[axis] + size[axis]);
  }

  planeView(stage, number, place) {
    const [output, row, column] = place;
    const figures = [];
    const figure = planeFigure;
    stage.inputs.forEach((plane, channel) => {
      const rows = plane.map((line, r) => line.map((_, c) => this.inputCell(stage, number, place, channel, r, c)));
      figures.push(figure("input", `input ${stage.channelsIn[channel]}`, rows));
    });
    const window = windowOf(stage, output, [row, column]);
    if (stage.flipped !== null) {
      reads(stage, output).forEach((channel, which) => {
        const weights = stage.weights[output][which];
        const taps = weights.map((line, r) =>
          line.map((w, c) => cell(w, "", `tap ${r} ${c}`, this.editWeight(stage, output, which, r, c))),
        );
        figures.push(figure("kernel", `kernel for ${stage.channelsIn[channel]}`, taps));
        const products = weights.map((line, r) =>
          line.map((w, c) => cell(window[which][r][c] === null ? null : w * window[which][r][c], "")),
        );
        figures.push(figure("product", `products for ${stage.channelsIn[channel]}`, products));
      });
    }
    stage.branches.forEach((branch) => {
      const plane = branch.results[Math.min(output, branch.results.length - 1)];
      const rows = plane.map((line, r) => line.map((value, c) => cell(value, r === row && c === column ? "now" : "")));
      figures.push(figure("product", branch.text, rows));
    });
    stage.outputs.forEach((plane, channel) => {
      const rows = plane.map((line, r) =>
        line.map((value, c) => {
          const now = channel === output && r === row && c === column;
          const done = channel < output || (channel === output && (r < row || (r === row && c <= column)));
          return cell(value, `${done ? "" : "later"} ${now ? "now" : ""}`);
        }),
      );
      figures.push(figure("output", outputName(stage, channel), rows));
    });
    return [element("div", { class: "planes" }, figures)];
  }

  // The sum in words: y[2] = (1 × 2 + 2 × 3 + 1 × 4) / 4 + 1 = 3
  // listed: shortens a list of many texts
  sum(stage, place, listed = shortened) {
    if (stage.spread) return this.spreadSum(stage, place, listed);
    const [output, row, column] = place;
    const index = stage.line ? column + stage.at[1] : `${row + stage.at[0]},${column + stage.at[1]}`;
    const name = stage.channelsOut.length > 1 ? `${stage.channelsOut[output]}[${index}]` : `y[${index}]`;
    const value = shown(stage.outputs[output][row][column]);
    if (stage.branches.length && stage.flipped === null) {
      const parts = stage.branches.map((branch) => {
        const plane = branch.results[Math.min(output, branch.results.length - 1)];
        return `${branch.text} = ${shown(plane[row][column])}`;
      });
      return `${name} = ${value}, made of ${parts.join(" and ")}`;
    }
    const samples = windowOf(stage, output, [row, column]).flat(2);
    if (stage.pads && !samples.length) return `${name} = ${value}, which lies outside of the input`;
    if (stage.flipped === null) {
      const of = listed(samples.map((x) => shown(x))).join(", ");
      return `${name}: ${stage.text} of ${of} = ${value}`;
    }
    const weights = stage.weights[output].flat(2);
    const terms = samples.map((x, i) => ({ x, weight: weights[i] }));
    // A missing sample has no weight, and the sum is divided by so much less.
    const known = terms.filter(({ x }) => x !== null);
    const scaled = known.length && known.length < terms.length && stage.outputs[output][row][column] !== null;
    const divisor = scaled ? (stage.divisor * total(known)) / total(terms) : stage.divisor;
    const read = scaled ? known : terms;
    const many = read.length > MOST_TERMS;
    // Of many products those that are 0 are left out.
    const written = many ? read.filter(({ x, weight }) => x !== 0 && weight !== 0) : read;
    let sum = listed(written.map(({ x, weight }) => `${factor(weight)} × ${factor(x)}`)).join(" + ") || "0";
    if (divisor !== 1) sum = `(${sum}) / ${shown(divisor)}`;
    if (stage.bias.length) sum += ` + ${factor(stage.bias[output])}`;
    return `${name} = ${sum} = ${value}${many ? `, the sum of ${read.length} products` : ""}`;
  }

  // x[1] = 2 adds 2 × 1, 2 × 2, 2 × 3 to y[2] and those that follow
  spreadSum(stage, [source, row, column], listed) {
    const x = factor(stage.inputs[source][row][column]);
    const index = stage.line ? column : `${row},${column}`;
    const name = stage.several ? `${stage.channelsIn[source]}[${index}]` : `x[${index}]`;
    const start = spreadTo(stage.spread, [row, column], [0, 0]).map((i, axis) => i + stage.spread.at[axis]);
    const first = stage.line ? start[1] : start.join(",");
    const copies = copiesOf(stage.spread, source).map(([output, kernel]) => {
      const products = listed(kernel.flat().map((w) => `${x} × ${factor(w)}`));
      return `${products.join(", ")} to ${stage.channelsOut.length > 1 ? stage.channelsOut[output] : "y"}[${first}] and those that follow`;
    });
    return `${name} = ${shown(stage.inputs[source][row][column])} adds ${copies.join("; ")}`;
  }
}

function total(terms) {
  return terms.reduce((sum, { weight }) => sum + weight, 0);
}

// ----------------------------------------------------------------------------- receptive field

// The inputs of a transposed convolution whose copies of the kernel add to the outputs from ... to.
function spreadReads(stage, from, to, axis, ends) {
  const { spread } = stage;
  const size = [spread.kernel[0][0].length, spread.kernel[0][0][0].length];
  const offset = spread.at[axis] - spread.first[axis];
  const low = Math.ceil((from + offset - size[axis] + 1) / spread.stride[axis]);
  const high = Math.floor((to + offset) / spread.stride[axis]);
  return [Math.max(low, 0), Math.min(high, ends[axis] - 1)];
}

// The inputs that the outputs from ... to of a padding are; none where all lie outside.
function paddingReads(stage, from, to, axis) {
  const places = [];
  for (let k = from; k <= to; k += 1) {
    const place = startOf(stage, axis, k);
    if (place !== null) places.push(place);
  }
  return places.length ? [Math.min(...places), Math.max(...places)] : [0, -1];
}

// Dots for the samples of each signal between the stages: a row of them, or a plane of a picture. A
// dot under the pointer shows what it reads.
function receptiveField(stages) {
  const line = stages.every((stage) => stage.line);
  const sides = (planes) => [planes[0].length, planes[0][0].length];
  const levels = stages.map((stage) => sides(stage.inputs));
  levels.push(sides(stages.at(-1).outputs));
  const scales = [1];
  stages.forEach((stage) => {
    const finer = stage.spread ? stage.spread.stride[1] : stage.phases[1];
    scales.push((scales.at(-1) * stage.stride[1]) / finer);
  });
  const dots = levels.map(([rows]) => Array.from({ length: rows }, () => []));
  const words = element("p", { class: "sum", "aria-live": "polite" });
  // A layer that pads, or that is transposed, takes another range than the stage before it gives.
  const given = (level, ranges) => {
    const next = stages[level + 1];
    if (!next) return ranges;
    return ranges.map((range, axis) => range.map((i) => i + next.first[axis] - stages[level].at[axis]));
  };
  const originOf = (level) => (level < stages.length ? stages[level].first : stages.at(-1).at);
  const readBy = (stage, ranges, ends) =>
    ranges.map(([from, to], axis) => {
      if (stage.spread) return spreadReads(stage, from, to, axis, ends);
      if (stage.pads) return paddingReads(stage, from, to, axis);
      const low = startOf(stage, axis, from);
      const high = startOf(stage, axis, to) + stage.size[axis] - 1;
      return [Math.max(low, 0), Math.min(high, ends[axis] - 1)];
    });
  const show = (level, place) => {
    let ranges = place.map((i) => [i, i]);
    dots.flat(2).forEach((dot) => dot.classList.remove("read"));
    for (let l = level; l >= 0; l -= 1) {
      if (l < level) ranges = readBy(stages[l], given(l, ranges), levels[l]);
      for (let r = ranges[0][0]; r <= ranges[0][1]; r += 1)
        for (let c = ranges[1][0]; c <= ranges[1][1]; c += 1) dots[l][r][c].classList.add("read");
    }
    const counts = ranges.map(([low, high]) => high - low + 1);
    const spans = ranges.map(([low, high], axis) => `${low + stages[0].first[axis]} to ${high + stages[0].first[axis]}`);
    words.textContent = line
      ? `It reads ${counts[1]} samples of the signal: ${spans[1]}.`
      : `It reads ${counts[0]} × ${counts[1]} samples of the signal: rows ${spans[0]}, columns ${spans[1]}.`;
  };
  const names = levels.map((_, level) => (level === 0 ? "signal" : stages[level - 1].text));
  // One dot is in the order of the tabulator; the arrow keys move to its neighbours. In a line up and
  // down lead to the signals above and below.
  const reachable = (dot) => {
    dots.flat(2).forEach((each) => each.setAttribute("tabindex", each === dot ? 0 : -1));
  };
  const neighbour = (key, level, [row, column]) => {
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0;
    const down = { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0;
    if (!down || !line) return dots[level][row + down]?.[column + sideways];
    const from = dots[level][row][column].getBoundingClientRect().left;
    const near = (dot) => Math.abs(dot.getBoundingClientRect().left - from);
    return dots[level + down]?.[row]?.reduce((best, dot) => (near(dot) < near(best) ? dot : best));
  };
  const moveFocus = (event, level, place) => {
    const next = event.key.startsWith("Arrow") ? neighbour(event.key, level, place) : null;
    if (!next) return;
    event.preventDefault();
    reachable(next);
    next.focus();
  };
  const dotAt = (level, place) => {
    const origin = originOf(level);
    const index = place.map((i, axis) => i + origin[axis]);
    const at = line ? index[1] : index.join(", ");
    const label = level === 0 ? `sample ${at} of the signal` : `output ${at} of ${names[level]}`;
    const dot = element("button", { type: "button", class: "dot", "aria-label": label, tabindex: -1 });
    if (level === 0 && isOutside(stages[0], ...place)) dot.classList.add("outside");
    dot.addEventListener("pointerenter", () => show(level, place));
    dot.addEventListener("focus", () => show(level, place));
    dot.addEventListener("keydown", (event) => moveFocus(event, level, place));
    dots[level][place[0]].push(dot);
    return dot;
  };
  const rowOfDots = (level, row) => {
    const origin = originOf(level)[1];
    const cells = [];
    for (let i = 0; i < levels[level][1]; i += 1) {
      const column = line ? Math.round((i + origin) * scales[level]) - stages[0].first[1] : i;
      while (cells.length < column) cells.push(element("span", { class: "dot blank" }));
      cells.push(dotAt(level, [row, i]));
    }
    return cells;
  };
  const views = levels.map(([rows], level) => {
    const drawn = Array.from({ length: rows }, (_, row) => rowOfDots(level, row));
    if (line) return rowOf("of-dots", names[level], drawn[0]);
    const label = element("div", { class: "label", text: names[level], title: names[level] });
    return element("div", { class: "dots" }, [...drawn.map((cells) => element("div", { class: "row" }, cells)), label]);
  });
  const last = levels.at(-1);
  if (last[0] * last[1]) {
    const middle = last.map((count) => Math.floor(count / 2));
    reachable(dots[levels.length - 1][middle[0]][middle[1]]);
    show(levels.length - 1, middle);
  }
  return element("figure", { class: "field" }, [
    element("figcaption", { text: "The receptive field: point at a dot, or move with the arrow keys, to see everything that it is computed from." }),
    element("div", { class: line ? "scroll" : "planes" }, views),
    words,
  ]);
}

// ---------------------------------------------------------------------------------------- paper

// What of a row lies in some columns, with its name.
function partOfRow(row, from, to) {
  const label = row.querySelector(":scope > .label");
  const cells = [...row.children].filter((child) => child !== label).slice(from, to);
  const made = row.cloneNode(false);
  made.append(...[label, ...cells].filter(Boolean).map((child) => child.cloneNode(true)));
  return cells.some((each) => !each.classList.contains("blank")) ? made : null;
}

// Whether a band adds nothing: it lies outside of the signal, all its products are 0, and no output
// stands in it.
function isEmptyBand(rows) {
  const cells = (kind) => rows.flatMap((row) => [...row.querySelectorAll(`:scope.${kind} > :not(.blank, .label)`)]);
  const samples = [...cells("input"), ...cells("of-dots")];
  const outside = samples.length > 0 && samples.every((each) => each.classList.contains("outside"));
  const adds = cells("product").some((each) => each.textContent !== "0");
  return outside && !adds && !cells("output").length;
}

// Rows that are too wide for paper, as bands of columns below each other.
function bandsOf(scroll, count) {
  const rows = [...scroll.children];
  const widest = Math.max(...rows.map((row) => row.querySelectorAll(":scope > :not(.label)").length));
  if (widest <= count) return null;
  const bands = [];
  let left = 0;
  for (let from = 0; from < widest; from += count) {
    const parts = rows.map((row) => partOfRow(row, from, from + count)).filter(Boolean);
    if (isEmptyBand(parts)) left += 1;
    else bands.push(element("div", { class: "band" }, parts));
  }
  if (left) bands.push(element("p", { text: "Columns that lie outside of the signal and add nothing are left out." }));
  return element("div", { class: "bands", "aria-hidden": "true" }, bands);
}

function columnsOnPaper(scroll) {
  if (scroll.closest(".field")) return DOTS;
  return scroll.closest(".plane") ? COLUMNS_OF_PLANE : COLUMNS;
}

function layOutForPaper() {
  removeBands();
  for (const scroll of document.querySelectorAll(".demo .scroll")) {
    const bands = bandsOf(scroll, columnsOnPaper(scroll));
    if (bands) scroll.after(bands);
  }
}

function removeBands() {
  for (const bands of document.querySelectorAll(".bands")) bands.remove();
}

window.addEventListener("beforeprint", layOutForPaper);
window.addEventListener("afterprint", removeBands);

// ----------------------------------------------------------------------------------------- page

document.querySelectorAll(".demo").forEach((place) => {
  const chapter = lesson.chapters[Number(place.dataset.chapter)];
  if (chapter.explanation && chapter.explanation.stages.length) {
    new Demo(place, chapter.explanation);
  }
});
document.documentElement.dataset.ready = "yes";
