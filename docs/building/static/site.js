// What scrolls sideways can be reached, and so scrolled, by the keyboard.
const reachable = () => {
  for (const part of document.querySelectorAll("pre, .table-wrapper, .output, .architecture")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
};
addEventListener("DOMContentLoaded", reachable);
addEventListener("resize", reachable);

// The theme's menus are opened by labels of hidden checkboxes: for the keyboard these are buttons, and Escape closes.
const MENUS = { __navigation: "Menu", __toc: "On this page" };
const operable = () => {
  for (const label of document.querySelectorAll(".nav-overlay-icon, .toc-overlay-icon, .sidebar-tree label")) {
    const box = document.getElementById(label.htmlFor);
    const told = () => label.setAttribute("aria-expanded", box.checked);
    label.tabIndex = 0;
    label.setAttribute("role", "button");
    label.setAttribute("aria-label", MENUS[box.id] ?? box.getAttribute("aria-label"));
    label.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      box.click();
    });
    box.addEventListener("change", told);
    told();
  }
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const box of document.querySelectorAll(".sidebar-toggle:checked")) {
      box.click();
      document.querySelector(`label[for="${box.id}"]:is(.nav-overlay-icon, .toc-overlay-icon)`).focus();
    }
  });
};
addEventListener("DOMContentLoaded", operable);
