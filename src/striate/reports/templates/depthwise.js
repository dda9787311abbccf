const slider = document.getElementById("strength"), which = document.getElementById("which");
const reels = document.querySelectorAll(".digit img"), templates = document.querySelectorAll(".templates img");
const labels = slider.dataset.labels.split("|");
function show() {
  const reel = reels[which.selectedIndex], at = slider.valueAsNumber;
  const winner = templates[reel.dataset.chosen.split(" ")[at]];
  reels.forEach(each => each.hidden = each !== reel);
  reel.style.transform = `translateX(${-100 * at / labels.length}%)`;
  templates.forEach(each => each.classList.toggle("lit", each === winner));
  document.getElementById("winners").style.setProperty("--at", at);
  slider.setAttribute("aria-valuetext", labels[at]);
  document.getElementById("said").textContent = `${labels[at]}: ${winner.alt} responds most`;
}
slider.oninput = which.onchange = show;
show();
