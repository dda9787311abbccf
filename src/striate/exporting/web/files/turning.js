// Shifts and turns of pixels, with linear interpolation between them.

const paper = facts.drawn ? [facts.preparation.paper] : facts.mean;

// Pixels, uint8 (height, width, channels), moved `x` to the right and `y` down and turned clockwise around the middle.
function moved(pixels, { x, y, turn }) {
  if (!x && !y && !turn) return pixels;
  const { height, width, channels } = facts, result = new Uint8Array(pixels.length);
  const angle = (turn * Math.PI) / 180, cosine = Math.cos(angle), sine = Math.sin(angle);
  const middle = [(height - 1) / 2, (width - 1) / 2];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const down = row - y - middle[0], right = column - x - middle[1];
      const from = [middle[0] - sine * right + cosine * down, middle[1] + cosine * right + sine * down];
      const top = Math.floor(from[0]), left = Math.floor(from[1]), under = from[0] - top, beside = from[1] - left;
      for (let part = 0; part < channels; part++) {
        const at = (r, c) => (r < 0 || c < 0 || r >= height || c >= width ? paper[part] : pixels[(r * width + c) * channels + part]);
        const above = at(top, left) * (1 - beside) + at(top, left + 1) * beside;
        const below = at(top + 1, left) * (1 - beside) + at(top + 1, left + 1) * beside;
        result[(row * width + column) * channels + part] = Math.round(above * (1 - under) + below * under);
      }
    }
  }
  return result;
}
