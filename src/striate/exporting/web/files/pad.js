// The pad to draw on: strokes by mouse, finger, pen or keyboard, and images of the data to begin with.

const SHARP = 16; // dots of the pad along a pixel's side
const strokes = [];
let example = null; // pixels of the data that are shown in place of strokes
let pen = null; // where the keyboard's pen is, once it was used
let down = false; // whether that pen draws
let onDrawing = () => {};

function makePad(changed) {
  onDrawing = changed;
  const pad = element("pad");
  pad.width = facts.width * SHARP;
  pad.height = facts.height * SHARP;
  element("sheet").classList.toggle("white", facts.preparation.paper > 0);
  const brush = element("brush");
  brush.max = Math.max(4, facts.width * 0.22).toFixed(1);
  brush.value = facts.preparation.pen;
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    begin(place(event));
  });
  pad.addEventListener("pointermove", (event) => {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) strokes.at(-1)?.points.push(place(each));
    redraw();
  });
  pad.addEventListener("keydown", byKey);
  pad.addEventListener("blur", () => { pen = null; down = false; redrawPad(); });
  element("undo").addEventListener("click", undo);
  element("clear").addEventListener("click", clear);
  makeExamples();
}

function makeExamples() {
  facts.examples.forEach(({ label, pixels }) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    const bytes = bytesOf(pixels);
    button.type = "button";
    button.title = facts.classes[label];
    button.setAttribute("aria-label", `An image of class ${facts.classes[label]}`);
    drawPixels(canvas, bytes);
    button.append(canvas);
    button.addEventListener("click", () => takeExample(bytes));
    element("examples").append(button);
  });
}

function takeExample(bytes) {
  strokes.length = 0;
  example = bytes;
  redraw();
}

function place(event) {
  const box = element("pad").getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * facts.width, ((event.clientY - box.top) / box.height) * facts.height];
}

function begin(point) {
  example = null;
  strokes.push({ pen: element("brush").valueAsNumber, points: [point] });
  redraw();
}

function undo() {
  if (example) example = null;
  else strokes.pop();
  redraw();
}

function clear() {
  example = null;
  strokes.length = 0;
  redraw();
}

function byKey(event) {
  const step = (event.shiftKey ? 0.1 : 0.025) * Math.max(facts.width, facts.height);
  const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  const key = event.key.toLowerCase();
  if (by) {
    const [x, y] = pen ?? [facts.width / 2, facts.height / 2];
    pen = [Math.max(0, Math.min(facts.width, x + by[0])), Math.max(0, Math.min(facts.height, y + by[1]))];
    if (down) strokes.at(-1).points.push(pen);
  } else if (key === " ") {
    pen ??= [facts.width / 2, facts.height / 2];
    down = !down;
    if (down) begin(pen);
  } else if (key === "u" || (key === "z" && (event.ctrlKey || event.metaKey))) {
    down = false;
    undo();
  } else if (key === "delete" || key === "backspace") {
    down = false;
    clear();
  } else return;
  event.preventDefault();
  if (down || key !== " ") redraw();
  else redrawPad();
}

function redraw() {
  redrawPad();
  onDrawing();
}

function redrawPad() {
  const pad = element("pad"), context = pad.getContext("2d");
  context.clearRect(0, 0, pad.width, pad.height);
  if (example) {
    const small = document.createElement("canvas");
    drawPixels(small, example);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, pad.width, pad.height);
  }
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = facts.preparation.paper ? "#000" : "#fff";
  for (const stroke of strokes) {
    context.lineWidth = stroke.pen * SHARP;
    context.beginPath();
    stroke.points.forEach(([x, y], number) => {
      if (number === 0) context.moveTo(x * SHARP, y * SHARP);
      context.lineTo(x * SHARP, y * SHARP);
    });
    context.stroke();
  }
  if (pen) {
    context.beginPath();
    context.lineWidth = 3;
    context.strokeStyle = "#fb923c";
    context.arc(pen[0] * SHARP, pen[1] * SHARP, Math.max(6, (element("brush").valueAsNumber * SHARP) / 2), 0, 7);
    if (down) {
      context.fillStyle = "#fb923c";
      context.fill();
    } else context.stroke();
  }
  element("hint").hidden = strokes.length > 0 || example !== null || pen !== null;
  element("undo").disabled = element("clear").disabled = !strokes.length && !example;
}
