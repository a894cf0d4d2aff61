// The theme of Airflow's UI, for pages in its frame and for pages on their own. Runs before anything is painted.
"use strict";
(() => {
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  // Airflow's own <html>, whose class is the theme; null for a page on its own.
  function around() {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null; // another site's frame
    }
  }

  // What the reader chose in Airflow: "light", "dark", "system" or nothing.
  function chosen() {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // a browser that keeps nothing
    }
  }

  function theme() {
    const outside = around();
    const words = ["light", "dark"];
    const shown = outside && words.find((word) => outside.classList.contains(word));
    if (shown) return shown;
    return words.includes(chosen()) ? chosen() : prefersDark.matches ? "dark" : "light";
  }

  function apply() {
    root.dataset.theme = theme();
    root.toggleAttribute("data-framed", around() !== null);
  }

  apply();
  prefersDark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  const outside = around();
  if (outside) new MutationObserver(apply).observe(outside, { attributes: true, attributeFilter: ["class"] });
})();
