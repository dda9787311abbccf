// The page: what is drawn or shown goes through the network, and everything follows.

const striate = (window.striate = { ready: false, input: null, logits: null, probabilities: null, milliseconds: 0, runs: 0, settled });
let picture = null; // the photograph: pixels, uint8 (height, width, 3), and its sides
let base = null; // as the network sees it, unmoved
let working = null; // the computation that runs
let waiting = false; // whether something changed since it began
let speed = 1; // milliseconds of an answer

function trouble(text) {
  element("trouble").textContent = text;
  element("trouble").hidden = !text;
}

function changed() {
  waiting = true;
  if (striate.ready) working ??= work();
}

async function settled() {
  await working;
}

async function work() {
  try {
    while (waiting) {
      await new Promise(requestAnimationFrame);
      waiting = false;
      await compute();
    }
  } catch (error) {
    trouble(`The network failed: ${error.message}`);
  }
  working = null;
}

async function compute() {
  const begun = performance.now();
  let found = null;
  if (facts.drawn) {
    base = example ?? drawn(strokes, !element("prepare") || element("prepare").checked);
    if (!example && !strokes.length) return showNothing();
  } else if (picture) {
    found = await answerTo(picture.data, picture.height, picture.width, 3);
    base = found.pixels.data;
  } else return;
  const input = moved(base, move);
  if (input !== base || !found) found = await answerTo(input, facts.height, facts.width, facts.channels);
  speed = performance.now() - begun;
  const logits = found.logits.data, probabilities = found.probabilities.data;
  Object.assign(striate, { input, logits, probabilities });
  lastInput = input;
  drawPixels(element("seen"), input);
  showAnswer(probabilities);
  layers.forEach((_, number) => showMaps(number, found[`layer${number}`].data));
  if (under) showUnit();
  await showEvidence(found, input);
  striate.milliseconds = performance.now() - begun;
  striate.runs++;
  measureStays(base, speed);
}

async function showEvidence(found, input) {
  const logits = found.logits.data, label = chosen ?? logits.indexOf(Math.max(...logits));
  tellEvidence(label);
  if (!element("evidence").checked) glow(null);
  else if (facts.evidence) glow(await gradCam(found[`layer${facts.evidence.layer}`].data, label));
  else glow(await covered(input, logits[label], label));
}

function showNothing() {
  element("answer").textContent = "Draw something, and it answers.";
  drawPixels(element("seen"), base);
  striate.input = lastInput = base;
  glow(null);
}

// In which way drawings are brought to look like the data, said on the page.
function tellPreparation() {
  const { size, centre } = facts.preparation;
  if (!size && !centre) return;
  const side = Math.max(facts.height, facts.width), to = size >= side ? "scaled to fill the picture" : size ? `scaled to ${size} of ${side} pixels` : "";
  const by = centre === "mass" ? "moved by its centre of mass to the middle" : centre ? "moved to the middle" : "";
  element("prepare-title").textContent = `As in the data, the drawing is ${[to, by].filter(Boolean).join(" and ")}.`;
  element("prepare-label").hidden = false;
  element("prepare").addEventListener("change", changed);
}

async function start() {
  if (!("DecompressionStream" in window) || !("WebAssembly" in window)) return trouble("This browser is too old to compute the network: DecompressionStream or WebAssembly is missing.");
  makeBars(changed);
  makeLayers();
  makeStays(changed);
  element("evidence").addEventListener("change", changed);
  element("unit-close").addEventListener("click", leave);
  darkness.addEventListener("change", () => { palette = mixed(); layers.forEach(drawLayer); showUnit(); });
  element("seen").classList.toggle("coarse", facts.height <= 64);
  element("seen").width = facts.width;
  element("seen").height = facts.height;
  if (facts.drawn) {
    makePad(changed);
    tellPreparation();
    redrawPad();
  } else makePhoto((taken) => { picture = taken; changed(); });
  try {
    await startNetwork();
  } catch (error) {
    return trouble(`The network could not be started: ${error.message}`);
  }
  element("board").setAttribute("aria-busy", "false");
  element("answer").textContent = facts.drawn ? "Draw something, and it answers." : "Show it a picture, and it answers.";
  striate.ready = true;
  striate.startup = performance.now();
  if (facts.drawn && !strokes.length && facts.examples.length) takeExample(bytesOf(facts.examples[0].pixels));
  else changed();
}

start();
