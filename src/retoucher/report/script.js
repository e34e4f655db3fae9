"use strict";
for (const range of document.querySelectorAll(".compare input[type=range]")) {
  const figure = range.closest(".compare");
  const show = () => {
    figure.style.setProperty("--x", range.value + "%");
    range.setAttribute("aria-valuetext", range.value + "% before, " + (100 - range.value) + "% after");
  };
  range.addEventListener("input", show);
  show();
}
