// The unit that is pointed at: what it sees on the picture, its filter, and its value.

const PATCH = 96, FILTER = 176; // the largest sides of their pictures, in dots
let lastInput = null; // what the network sees now

function showUnit(event) {
  element("unit").hidden = !under;
  const frame = element("frame");
  frame.replaceChildren();
  if (!under) return;
  if (event) element("unit").classList.toggle("left", event.clientX > innerWidth / 2 && event.clientY > innerHeight / 2);
  const { layer, unit, row, column } = under, [top, left, bottom, right] = region(layer, row, column);
  const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  frame.setAttribute("viewBox", `0 0 ${facts.width} ${facts.height}`);
  for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top })) box.setAttribute(name, value);
  frame.append(box);
  if (lastInput) drawPatch(top, left, bottom, right);
  element("filter-figure").hidden = !drawFilter(layer, unit);
  element("unit-text").textContent = told(layer, unit, row, column, bottom - top, right - left);
}

// The pixels a unit can see: first row and column, and the first after; beyond the picture it sees padding.
function region(layer, row, column) {
  if (!layer.rows) return [0, 0, facts.height, facts.width];
  return [layer.rows[row][0], layer.seen[column][0], layer.rows[row][1], layer.seen[column][1]];
}

function drawPatch(top, left, bottom, right) {
  const canvas = element("patch"), whole = document.createElement("canvas"), high = bottom - top, wide = right - left;
  drawPixels(whole, lastInput);
  const factor = Math.max(1, Math.floor(PATCH / Math.max(high, wide)));
  canvas.width = wide * factor;
  canvas.height = high * factor;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(whole, left, top, wide, high, 0, 0, canvas.width, canvas.height);
}

function drawFilter(layer, unit) {
  if (!layer.filters) return false;
  const [channels, height, width] = layer.filters.shape, cells = height * width;
  layer.levels ??= new Int8Array(bytesOf(layer.filters.levels).buffer);
  const across = Math.ceil(Math.sqrt((channels * height) / width)), along = Math.ceil(channels / across);
  const sides = [across * (width + 1) - 1, along * (height + 1) - 1], factor = Math.max(1, Math.floor(FILTER / Math.max(...sides)));
  const canvas = element("filter"), context = canvas.getContext("2d"), small = new OffscreenCanvas(width, height);
  canvas.width = sides[0] * factor;
  canvas.height = sides[1] * factor;
  context.imageSmoothingEnabled = false;
  const image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  for (let channel = 0; channel < channels; channel++) {
    paint(layer.levels, (unit * channels + channel) * cells, cells, 127, pixels);
    small.getContext("2d").putImageData(image, 0, 0);
    const x = (channel % across) * (width + 1), y = Math.floor(channel / across) * (height + 1);
    context.drawImage(small, x * factor, y * factor, width * factor, height * factor);
  }
  return true;
}

function told(layer, unit, row, column, high, wide) {
  const single = layer.height * layer.width === 1, isClass = layer.number === layers.length - 1 && layer.channels === facts.classes.length;
  const which = `Unit ${unit + 1} of ${layer.channels} in ${layer.name}${isClass ? `, for ${facts.classes[unit]}` : ""}`;
  const where = single ? "" : ` at row ${row + 1}, column ${column + 1}`;
  const value = layer.values ? `: ${layer.values[(unit * layer.height + row) * layer.width + column].toFixed(2).replace("-", "−")}` : "";
  const seen = layer.rows ? ` It sees ${high}×${wide} pixels, in the orange frame.` : " It sees the whole picture.";
  const filter = layer.filters ? ` Its weights reach ${layer.filters.largest[unit]}.` : "";
  return `${which}${where}${value}.${seen}${filter}`;
}
