// The answer: a sentence, and a bar for each class; of many classes the most probable ones.

const FEW = 12, SHOWN = 8, SURE = 0.8;
const bars = [];
let chosen = null; // the class whose evidence is shown, if one was pressed
let spokenLater = 0;

function makeBars(onChoice) {
  const count = facts.classes.length <= FEW ? facts.classes.length : SHOWN;
  element("bars").classList.toggle("named", facts.classes.some((each) => each.length > 3));
  for (let number = 0; number < count; number++) {
    const button = document.createElement("button"), name = document.createElement("bdi");
    const track = document.createElement("span"), bar = document.createElement("span"), value = document.createElement("span");
    button.type = "button";
    name.className = "name";
    track.className = "track";
    value.className = "number";
    track.append(bar);
    button.append(name, " ", track, " ", value);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const label = bars[number].label;
      chosen = chosen === label ? null : label;
      onChoice();
    });
    element("bars").append(button);
    bars.push({ button, name, bar, value, label: number });
    label(bars[number], number);
  }
}

function label(row, number) {
  row.label = number;
  row.name.textContent = row.button.title = facts.classes[number];
}

const percent = (share) => (share > 0.9995 ? "> 99.9 %" : `${(100 * share).toFixed(1)} %`);

function showAnswer(probabilities) {
  const order = [...probabilities.keys()].sort((one, other) => probabilities[other] - probabilities[one]);
  bars.forEach((row, number) => {
    if (facts.classes.length > FEW) label(row, order[number]);
    const share = probabilities[row.label];
    row.bar.style.transform = `scaleX(${share})`;
    row.value.textContent = percent(share);
    row.name.classList.toggle("best", row.label === order[0]);
    row.button.setAttribute("aria-pressed", String(row.label === chosen));
    row.button.setAttribute("aria-label", `${facts.classes[row.label]} ${percent(share)}, show what speaks for it`);
  });
  const [first, second] = order, sentence = element("answer"), strong = document.createElement("strong");
  strong.textContent = facts.classes[first];
  const sure = probabilities[first] >= SURE || second === undefined;
  const rest = sure ? `, with ${percent(probabilities[first])}.` : `, but is not sure: ${percent(probabilities[first])}, then ${facts.classes[second]} with ${percent(probabilities[second])}.`;
  sentence.replaceChildren("It says ", strong, rest);
  clearTimeout(spokenLater); // a screen reader hears the answer once the hand rests
  spokenLater = setTimeout(() => { element("spoken").textContent = sentence.textContent; }, 700);
}
