// What scrolls sideways can be reached, and so scrolled, by the keyboard.
const reachable = () => {
  for (const part of document.querySelectorAll("pre, .table-wrapper, .output, .architecture")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
};
addEventListener("DOMContentLoaded", reachable);
addEventListener("resize", reachable);
