// What stays when the picture is moved: the first answer's probability along three sliders.

const move = { x: 0, y: 0, turn: 0 };
const reach = (side) => Math.max(2, Math.round(side * 0.3));
const axes = [
  { name: "x", title: "Sideways", most: reach(facts.width), step: Math.max(1, Math.round(facts.width / 28)), unit: " px" },
  { name: "y", title: "Up and down", most: reach(facts.height), step: Math.max(1, Math.round(facts.height / 28)), unit: " px" },
  { name: "turn", title: "Turn", most: 180, step: 15, unit: "°" },
];
let round = 0; // of measurements; a new one ends the one before
let pause = 0;

function makeStays(changed) {
  for (const axis of axes) {
    axis.most -= axis.most % axis.step;
    axis.places = Array.from({ length: (2 * axis.most) / axis.step + 1 }, (_, each) => each * axis.step - axis.most);
    const part = document.createElement("div"), title = document.createElement("label"), value = document.createElement("output");
    const slider = document.createElement("input"), said = document.createElement("p");
    const chart = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    slider.type = "range";
    slider.id = value.htmlFor = title.htmlFor = `move-${axis.name}`;
    Object.assign(slider, { min: -axis.most, max: axis.most, step: axis.name === "turn" ? 1 : axis.step, value: 0 });
    chart.setAttribute("viewBox", `0 0 ${axis.places.length} 1`);
    chart.setAttribute("preserveAspectRatio", "none");
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `${axis.title}: nothing measured yet`);
    axis.bars = axis.places.map((_, number) => rectangle(chart, number + 0.08, 0.84));
    axis.here = rectangle(chart, 0, 1, "here");
    title.append(axis.title, value);
    part.append(title, chart, slider, said);
    element("moves").append(part);
    Object.assign(axis, { chart, slider, value, said });
    slider.addEventListener("input", () => {
      move[axis.name] = slider.valueAsNumber;
      showMove(axis);
      changed();
    });
    showMove(axis);
  }
  const back = document.createElement("button");
  back.type = "button";
  back.textContent = "Back to the middle";
  back.addEventListener("click", () => {
    for (const axis of axes) {
      axis.slider.value = move[axis.name] = 0;
      showMove(axis);
    }
    changed();
  });
  element("moves").after(back);
}

function rectangle(chart, x, width, kind = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ x, width, y: 1, height: 0, class: kind })) made.setAttribute(name, value);
  chart.append(made);
  return made;
}

const signed = (value) => (value > 0 ? `+${value}` : String(value).replace("-", "−"));

function showMove(axis) {
  const at = (move[axis.name] + axis.most) / axis.step;
  axis.value.textContent = `${signed(move[axis.name])}${axis.unit}`;
  axis.slider.setAttribute("aria-valuetext", `${move[axis.name]}${axis.unit}`);
  axis.here.setAttribute("x", at);
  axis.here.setAttribute("y", 0);
  axis.here.setAttribute("height", 1);
}

// Measures anew, once the hand rests: the picture unmoved, then at every place of every slider.
function measureStays(pixels, speed) {
  clearTimeout(pause);
  const mine = ++round;
  pause = setTimeout(async () => {
    const together = Math.max(1, Math.min(16, Math.floor(12 / Math.max(speed, 0.1))));
    const [[first]] = [await asked([pixels], "probabilities")];
    const answer = first.indexOf(Math.max(...first));
    for (const axis of axes) {
      const shares = [];
      for (let start = 0; start < axis.places.length; start += together) {
        const places = axis.places.slice(start, start + together);
        const found = await asked(places.map((place) => moved(pixels, { ...move, [axis.name]: place })), "probabilities");
        if (mine !== round) return;
        shares.push(...found.map((row) => ({ share: row[answer], same: row[answer] === Math.max(...row) })));
        shares.forEach(({ share, same }, number) => drawBar(axis.bars[number], share, same));
        await new Promise((resolve) => setTimeout(resolve));
      }
      tellStays(axis, shares, facts.classes[answer]);
    }
    striate.measured = mine;
  }, 150);
}

function drawBar(bar, share, same) {
  bar.setAttribute("y", 1 - share);
  bar.setAttribute("height", share);
  bar.setAttribute("class", same ? "same" : "other");
}

function tellStays(axis, shares, name) {
  const middle = (shares.length - 1) / 2;
  let [low, high] = [middle, middle];
  while (low > 0 && shares[low - 1].same) low--;
  while (high < shares.length - 1 && shares[high + 1].same) high++;
  const all = shares.every(({ same }) => same);
  axis.said.textContent = all
    ? `It stays ${name} all the way.`
    : !shares[middle].same
      ? `In the middle it is not ${name} any more.`
      : `It stays ${name} from ${signed(axis.places[low])} to ${signed(axis.places[high])}${axis.unit}.`;
  axis.chart.setAttribute("aria-label", `${axis.title}: ${axis.said.textContent}`);
}
