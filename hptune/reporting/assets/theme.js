"use strict";
// Light or dark: as the reader's system has it, until the reader says otherwise. Colours stand in the style sheet.
const hptune = {};

hptune.theme = (() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const watchers = [];
  let own = null;
  try { own = window.localStorage.getItem("hptune-theme"); } catch { /* A page from disk may have no storage. */ }

  const isDark = () => (own === "dark" || own === "light" ? own === "dark" : system.matches);

  function apply(dark) {
    root.dataset.theme = dark ? "dark" : "light";
    const button = document.getElementById("theme");
    button.setAttribute("aria-pressed", String(dark));
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-label", dark ? "Switch to light colours" : "Switch to dark colours");
    watchers.forEach((watcher) => watcher());
  }

  document.getElementById("theme").addEventListener("click", () => {
    own = isDark() ? "light" : "dark";
    try { window.localStorage.setItem("hptune-theme", own); } catch { /* It holds for this visit, then. */ }
    apply(isDark());
  });
  system.addEventListener("change", () => apply(isDark()));
  // Paper is white.
  window.addEventListener("beforeprint", () => apply(false));
  window.addEventListener("afterprint", () => apply(isDark()));
  apply(isDark());

  return {
    watch: (watcher) => watchers.push(watcher),
    colour: (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim(),
    // Told apart by the colour-blind, and light enough on black, dark enough on white.
    palette: () => (root.dataset.theme === "dark"
      ? ["#56b4e9", "#ff8c42", "#2fc79a", "#e79ac6", "#d4c84a", "#8ab4ff", "#b79be0", "#d9a066"]
      : ["#0072b2", "#d55e00", "#00805d", "#b0568b", "#7d7300", "#2b8cbe", "#7a5195", "#a05a2c"]),
    // From poor to good, evenly brighter.
    ramp: () => (root.dataset.theme === "dark"
      ? ["#7a63c0", "#5f86c4", "#3fa3a8", "#3fbf91", "#7fd36b", "#d6e64a"]
      : ["#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39"]),
  };
})();
