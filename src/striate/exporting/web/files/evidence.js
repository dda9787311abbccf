// Evidence for a class, laid over the picture: Grad-CAM where the network's gradient is known, else by covering parts.

const GRID = 7; // parts of a side that are covered, one after the other
const GLOW = 96; // dots of the longer side of what is laid over
const strongest = 0.8; // opacity

// The evidence at each place, at least 0: by Grad-CAM of the maps, float32 (channels, rows, columns).
async function gradCam(maps, label) {
  const [channels, rows, columns] = layers[facts.evidence.layer].shape, cells = rows * columns;
  const weights = await gradientOf(maps, label);
  const sums = new Float32Array(cells);
  for (let channel = 0; channel < channels; channel++) {
    for (let cell = 0; cell < cells; cell++) sums[cell] += weights[channel] * maps[channel * cells + cell];
  }
  const { centre, stride } = facts.evidence;
  const place = centre ? { centre, stride } : { centre: [facts.height / rows / 2, facts.width / columns / 2], stride: [facts.height / rows, facts.width / columns] };
  return { values: sums.map((sum) => Math.max(0, sum)), rows, columns, ...place };
}

// The same, by the fall of the class's logit when a part of the picture has the background's colour.
async function covered(input, logit, label) {
  const { height, width, channels } = facts, values = new Float32Array(GRID * GRID), side = [height / GRID, width / GRID];
  for (let row = 0; row < GRID; row++) {
    const pictures = [];
    for (let column = 0; column < GRID; column++) {
      const copy = input.slice(), reach = [[row, 0], [column, 1]].map(([part, axis]) => [Math.floor((part - 0.5) * side[axis]), Math.ceil((part + 1.5) * side[axis])]);
      for (let r = Math.max(0, reach[0][0]); r < Math.min(height, reach[0][1]); r++) {
        for (let c = Math.max(0, reach[1][0]); c < Math.min(width, reach[1][1]); c++) copy.set(paper, (r * width + c) * channels);
      }
      pictures.push(copy);
    }
    const logits = await asked(pictures, "logits");
    for (let column = 0; column < GRID; column++) values[row * GRID + column] = Math.max(0, logit - logits[column][label]);
  }
  return { values, rows: GRID, columns: GRID, centre: side.map((each) => each / 2 - 0.5), stride: side };
}

// Lays evidence over the picture, with linear interpolation between the places it is known at.
function glow(evidence) {
  const canvas = element("glow"), longer = Math.max(facts.height, facts.width), dots = Math.max(1, GLOW / longer);
  canvas.width = Math.round(facts.width * dots);
  canvas.height = Math.round(facts.height * dots);
  canvas.hidden = !evidence;
  if (!evidence) return;
  const { values, rows, columns, centre, stride } = evidence, largest = Math.max(...values);
  const image = new ImageData(canvas.width, canvas.height), at = (row, column) => values[row * columns + column];
  for (let y = 0, dot = 0; y < canvas.height; y++) {
    const row = within(((y + 0.5) / dots - 0.5 - centre[0]) / stride[0], rows), top = Math.floor(row), low = Math.min(rows - 1, top + 1);
    for (let x = 0; x < canvas.width; x++, dot += 4) {
      const column = within(((x + 0.5) / dots - 0.5 - centre[1]) / stride[1], columns), left = Math.floor(column), right = Math.min(columns - 1, left + 1);
      const above = at(top, left) * (1 - column + left) + at(top, right) * (column - left);
      const below = at(low, left) * (1 - column + left) + at(low, right) * (column - left);
      const share = largest > 0 ? (above * (1 - row + top) + below * (row - top)) / largest : 0;
      image.data.set([251, 146, 60, 255 * strongest * share], dot);
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const within = (value, count) => Math.max(0, Math.min(count - 1, value));

function tellEvidence(label) {
  const name = facts.classes[label], way = facts.evidence;
  element("evidence-title").textContent = `What speaks for ${name}`;
  const how = !way
    ? "Measured by covering parts of the picture, one after the other: warm is where that costs the class most."
    : way.exact
      ? "A class activation map: the network ends in an average over places and one dense layer, so warm is exactly where it finds what speaks for the class."
      : `Grad-CAM at ${layers[way.layer].name}: warm is where its maps speak for the class, each weighted with its gradient.`;
  element("evidence-text").textContent = how;
}
