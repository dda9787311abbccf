// Strokes to pixels: a drawing as the network gets it, prepared as the data are.

const FINE = 8; // dots along a pixel's side
const MOST = 6; // times that a small drawing is enlarged
const raster = document.createElement("canvas");
raster.width = facts.width * FINE;
raster.height = facts.height * FINE;
const rasterContext = raster.getContext("2d", { willReadFrequently: true });

// Pixels, uint8 (height, width), of strokes whose points and pens are in pixels of the network's input.
function drawn(strokes, prepared) {
  const preparation = facts.preparation, place = { scale: 1, x: 0, y: 0 };
  if (prepared && strokes.length && (preparation.size || preparation.centre)) {
    const [left, top, right, bottom, pen] = bounds(strokes), long = Math.max(right - left, bottom - top);
    const [row, column] = preparation.at;
    if (preparation.size && long > pen / 2) place.scale = Math.min(MOST, (preparation.size - pen) / long);
    const middle = preparation.centre ? [column + 0.5, row + 0.5] : [(left + right) / 2, (top + bottom) / 2];
    place.x = middle[0] - (place.scale * (left + right)) / 2;
    place.y = middle[1] - (place.scale * (top + bottom)) / 2;
    if (preparation.centre === "mass") {
      const [massRow, massColumn] = mass(inked(strokes, place));
      place.y += row - massRow;
      place.x += column - massColumn;
    }
  }
  const ink = inked(strokes, place);
  return facts.preparation.paper ? ink.map((each) => 255 - each) : ink;
}

function bounds(strokes) {
  const points = strokes.flatMap((stroke) => stroke.points), [across, down] = [0, 1].map((axis) => points.map((point) => point[axis]));
  return [Math.min(...across), Math.min(...down), Math.max(...across), Math.max(...down), Math.max(...strokes.map((stroke) => stroke.pen))];
}

// The ink on each pixel, 0 to 255. The pen stays as wide as it is, whatever the drawing's scale.
function inked(strokes, place) {
  const context = rasterContext, wide = raster.width;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, wide, raster.height);
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.lineWidth = stroke.pen * FINE;
    context.beginPath();
    stroke.points.forEach(([x, y], number) => {
      const at = [(place.scale * x + place.x) * FINE, (place.scale * y + place.y) * FINE];
      if (number === 0) context.moveTo(...at);
      context.lineTo(...at);
    });
    context.stroke();
  }
  const dots = context.getImageData(0, 0, wide, raster.height).data, sums = new Uint32Array(size);
  for (let row = 0; row < raster.height; row++) {
    const start = Math.floor(row / FINE) * facts.width;
    for (let column = 0; column < wide; column++) sums[start + Math.floor(column / FINE)] += dots[4 * (row * wide + column) + 3];
  }
  return Uint8Array.from(sums, (sum) => Math.round(sum / FINE ** 2));
}

function mass(ink) {
  let total = 0, rows = 0, columns = 0;
  ink.forEach((value, place) => {
    total += value;
    rows += value * Math.floor(place / facts.width);
    columns += value * (place % facts.width);
  });
  return total ? [rows / total, columns / total] : facts.preparation.at;
}
