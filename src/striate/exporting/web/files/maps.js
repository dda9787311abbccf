// The outputs of all layers: each unit's map as a small picture, all of a layer on one scale.

const layers = [];
let under = null; // the unit that is pointed at: layer, unit, row, column

function makeLayers() {
  const seenNow = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const layer = layers[entry.target.dataset.number];
      layer.visible = entry.isIntersecting;
      if (layer.visible) drawLayer(layer);
    }
  }, { rootMargin: "200px" });
  facts.layers.forEach((layer, number) => {
    const [channels, height, width] = layer.shape, single = height * width === 1;
    const part = document.createElement("div"), title = document.createElement("h3"), about = document.createElement("span");
    const canvas = document.createElement("canvas");
    part.className = "layer";
    about.textContent = ` ${layer.kind}: ${channels.toLocaleString("en")} ${single ? "units" : `maps of ${height}×${width}`}${sees(layer)}`;
    title.append(layer.name, about);
    canvas.tabIndex = 0;
    canvas.dataset.number = number;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "feature maps");
    canvas.setAttribute("aria-label", `Layer ${layer.name},${about.textContent}`);
    part.append(title, canvas);
    element("layers").append(part);
    layers.push({ ...layer, seen: layer.columns, number, channels, height, width, canvas, values: null, scale: 0, visible: false });
    canvas.addEventListener("pointermove", (event) => point(layers[number], event));
    canvas.addEventListener("pointerdown", (event) => point(layers[number], event));
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
    canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && lookAt(layers[number], 0, height >> 1, width >> 1));
    canvas.addEventListener("blur", leave);
    canvas.addEventListener("keydown", (event) => walk(layers[number], event));
    seenNow.observe(canvas);
  });
  new ResizeObserver(() => layers.forEach(arrange)).observe(element("layers"));
}

const sees = (layer) => (layer.size === "all" ? ", each sees all" : layer.size ? `, each sees ${layer.size} pixels` : "");

const ROWS = 6, LEAST = 14; // rows of small pictures that a layer should have at most, and their least side

// Chooses the side of the small pictures, by how many there are, and how many stand in a row.
function arrange(layer) {
  const room = element("layers").clientWidth, { channels, height, width } = layer, side = Math.max(height, width);
  const wanted = side === 1 ? (channels > 32 ? 16 : 30) : side > 20 ? 72 : side > 8 ? 56 : 44;
  layer.tile = Math.max(Math.min(LEAST, wanted), Math.min(wanted, Math.floor(room / Math.max(4, Math.ceil(channels / ROWS))) - 4));
  layer.gap = layer.tile > 24 ? 4 : 2;
  layer.columns = Math.max(1, Math.min(channels, Math.floor((room + layer.gap) / (layer.tile + layer.gap))));
  const rows = Math.ceil(channels / layer.columns), step = layer.tile + layer.gap, dots = devicePixelRatio;
  const across = layer.columns * step - layer.gap, along = rows * step - layer.gap;
  layer.canvas.width = Math.round(across * dots);
  layer.canvas.height = Math.round(along * dots);
  layer.canvas.style.width = `${across}px`;
  layer.canvas.style.height = `${along}px`;
  drawLayer(layer);
}

function showMaps(number, values) {
  const layer = layers[number];
  layer.values = values;
  layer.scale = 0;
  for (const value of values) layer.scale = Math.max(layer.scale, Math.abs(value));
  if (layer.visible) drawLayer(layer);
}

function drawLayer(layer) {
  const { canvas, values, channels, height, width, tile, gap, columns } = layer;
  if (!tile) return;
  const context = canvas.getContext("2d"), dots = canvas.width / (columns * (tile + gap) - gap), cells = height * width;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const small = new OffscreenCanvas(width, height), image = new ImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  context.imageSmoothingEnabled = width > tile * dots;
  const [wide, high] = width > height ? [tile, (tile * height) / width] : [(tile * width) / height, tile];
  for (let unit = 0; unit < channels; unit++) {
    if (values) paint(values, unit * cells, cells, layer.scale, pixels);
    else pixels.fill(palette[255]);
    const [x, y] = corner(layer, unit);
    if (cells === 1) {
      const colour = image.data;
      context.fillStyle = `rgb(${colour[0]} ${colour[1]} ${colour[2]})`;
      context.fillRect(x * dots, y * dots, tile * dots, tile * dots);
    } else {
      small.getContext("2d").putImageData(image, 0, 0);
      context.drawImage(small, x * dots, y * dots, wide * dots, high * dots);
    }
  }
  if (under?.layer === layer) {
    const [x, y] = corner(layer, under.unit), cell = [wide / width, high / height];
    context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = 2 * dots;
    context.strokeRect((x - 1) * dots, (y - 1) * dots, (wide + 2) * dots, (high + 2) * dots);
    if (cells > 1) context.strokeRect((x + under.column * cell[0]) * dots, (y + under.row * cell[1]) * dots, cell[0] * dots, cell[1] * dots);
  }
}

const corner = (layer, unit) => [(unit % layer.columns) * (layer.tile + layer.gap), Math.floor(unit / layer.columns) * (layer.tile + layer.gap)];

function point(layer, event) {
  const box = layer.canvas.getBoundingClientRect(), step = layer.tile + layer.gap;
  const x = event.clientX - box.left, y = event.clientY - box.top;
  const unit = Math.floor(y / step) * layer.columns + Math.min(layer.columns - 1, Math.floor(x / step));
  if (unit < 0 || unit >= layer.channels) return;
  const side = layer.tile / Math.max(layer.height, layer.width);
  const inside = (at, count) => Math.max(0, Math.min(count - 1, Math.floor((at % step) / side)));
  lookAt(layer, unit, inside(y, layer.height), inside(x, layer.width), event);
}

function walk(layer, event) {
  const [right, below] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
  if (event.key === "Escape") return leave();
  if (!right && !below) return;
  event.preventDefault();
  const now = under?.layer === layer ? under : { unit: 0, row: layer.height >> 1, column: layer.width >> 1 };
  const within = (value, count) => Math.max(0, Math.min(count - 1, value));
  if (event.shiftKey) lookAt(layer, now.unit, within(now.row + below, layer.height), within(now.column + right, layer.width));
  else lookAt(layer, within(now.unit + right + below * layer.columns, layer.channels), now.row, now.column);
}

function lookAt(layer, unit, row, column, event) {
  const before = under?.layer;
  under = { layer, unit, row, column };
  if (before && before !== layer) drawLayer(before);
  drawLayer(layer);
  showUnit(event);
}

function leave() {
  const before = under?.layer;
  under = null;
  if (before) drawLayer(before);
  showUnit();
}
