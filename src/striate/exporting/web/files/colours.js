// Colours of values: blue above zero, orange below, stronger the further from it. They follow light and dark.

const element = (name) => document.getElementById(name);
const facts = JSON.parse(element("facts").textContent);
const size = facts.height * facts.width;
const darkness = matchMedia("(prefers-color-scheme: dark)");
let palette = mixed();

// 511 colours as the bytes of ImageData, from the most negative value to the most positive; the middle one is zero's.
function mixed() {
  const style = getComputedStyle(document.documentElement);
  const [zero, above, below] = ["--zero", "--above", "--below"].map((name) => parsed(style.getPropertyValue(name).trim()));
  const colours = new Uint8ClampedArray(511 * 4);
  for (let level = -255; level <= 255; level++) {
    const share = Math.pow(Math.abs(level) / 255, 0.85), end = level < 0 ? below : above;
    for (let part = 0; part < 3; part++) colours[4 * (level + 255) + part] = zero[part] + share * (end[part] - zero[part]);
    colours[4 * (level + 255) + 3] = 255;
  }
  return new Uint32Array(colours.buffer);
}

function parsed(colour) {
  const digits = colour.length === 4 ? [...colour.slice(1)].map((each) => each + each) : colour.slice(1).match(/../g);
  return digits.map((each) => parseInt(each, 16));
}

// Writes the colours of `count` values into 32-bit pixels; `largest` gets the strongest colour.
function paint(values, start, count, largest, pixels, at = 0) {
  const factor = largest > 0 ? 255 / largest : 0;
  for (let each = 0; each < count; each++) {
    const level = Math.round(values[start + each] * factor);
    pixels[at + each] = palette[255 + Math.max(-255, Math.min(255, level))];
  }
}

// Draws pixels of the network's input, uint8 (height, width, channels), at their own size.
function drawPixels(canvas, pixels) {
  canvas.width = facts.width;
  canvas.height = facts.height;
  const image = new ImageData(facts.width, facts.height), channels = facts.channels;
  for (let place = 0; place < size; place++) {
    for (let part = 0; part < 3; part++) image.data[4 * place + part] = pixels[channels * place + (channels === 3 ? part : 0)];
    image.data[4 * place + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function bytesOf(text) {
  return Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
}
