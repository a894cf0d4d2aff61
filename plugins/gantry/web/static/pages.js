// Times in the reader's zone, links out of Airflow's frame, and a word when the page is not kept up to date.
"use strict";
(() => {
  const seconds = { day: 86400, hour: 3600, minute: 60, second: 1 };
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });
  const today = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const date = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });
  const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

  function clock(moment) {
    const isToday = date.format(moment) === date.format(new Date());
    return isToday ? today.format(moment) : `${date.format(moment)} ${today.format(moment)}`;
  }

  function ago(moment) {
    const away = (moment - Date.now()) / 1000;
    const unit = Object.keys(seconds).find((each) => Math.abs(away) >= seconds[each]) ?? "second";
    // Seconds in steps of ten: a number that changes all the time draws the eye.
    if (unit === "second") return Math.abs(away) < 10 ? "now" : relative.format(Math.round(away / 10) * 10, unit);
    return relative.format(Math.trunc(away / seconds[unit]), unit);
  }

  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function times(within) {
    for (const each of within.querySelectorAll("time[data-time], time[data-ago], time[data-clock]")) {
      const moment = new Date(each.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      each.title = exact.format(moment);
      const { ago: asAge, clock: asClock } = each.dataset;
      write(each, asAge !== undefined ? ago(moment) : asClock !== undefined ? today.format(moment) : clock(moment));
    }
  }

  // What a reader or this script has changed is not what the server sent: a morph leaves it alone.
  function keep() {
    const callbacks = Idiomorph.defaults.callbacks;
    callbacks.beforeNodeMorphed = (before, after) =>
      !(before.localName === "time" && after.localName === "time" && before.dateTime === after.dateTime);
    callbacks.beforeAttributeUpdated = (name, element) =>
      !(
        (name === "open" && element.localName === "details") ||
        (name === "aria-current" && "opens" in element.dataset) ||
        name === "data-tail"
      );
  }

  // Airflow's frame lets its pages open neither windows nor the window around it. The page around it may.
  function leave(event) {
    const link = event.target.closest("a[data-airflow], a[data-away]");
    const around = window.parent;
    // htmx has it already: a cell whose log opens beside it.
    if (!link || event.defaultPrevented || around === window || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    try {
      const copy = around.document.createElement("a");
      copy.href = link.href;
      if ("away" in link.dataset) copy.target = "_blank";
      copy.rel = "noopener noreferrer";
      around.document.body.append(copy);
      copy.click();
      copy.remove();
      event.preventDefault();
    } catch {
      // Another site's frame: the link does what it can.
    }
  }

  const said = document.getElementById("connection");
  function say(text) {
    write(said, text);
    said.hidden = !text;
  }

  function failed(event) {
    const answer = event.detail.xhr?.status;
    if (answer === 401 || answer === 403) say("You are signed out, or may not see this any more. Load the page again.");
    else if (answer === 404) say("This is gone. Load the page again.");
    else say("Airflow does not answer. What you see may be old; the page keeps trying.");
  }

  // A panel that opened is where the reader wants to be.
  function opened(event) {
    const panel = event.detail.target;
    if (!panel?.matches?.("[data-panel]")) return;
    // The panel takes room from the cell that it belongs to.
    document.querySelector("[data-opens][aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    panel.querySelector("[data-focus]")?.focus();
  }

  function pressed(event) {
    const close = event.target.closest("[data-close]");
    if (!close) return;
    const panel = document.getElementById(close.dataset.close);
    const opener = document.querySelector("[aria-current='true'][data-opens]");
    panel.replaceChildren();
    opener?.removeAttribute("aria-current");
    opener?.focus();
  }

  // Who reads a log's end goes on reading its end.
  function tail(event) {
    for (const each of document.querySelectorAll("[data-tail]")) {
      if (event.type === "htmx:beforeSwap") {
        each.dataset.tail = each.scrollHeight - each.scrollTop - each.clientHeight < 24 ? "end" : "";
      } else if (each.dataset.tail !== "") {
        each.scrollTop = each.scrollHeight;
        each.dataset.tail = "end";
      }
    }
  }

  // A log that grows is shown by its end: a page that stays open for a day must not hold all of it.
  function trim() {
    for (const list of document.querySelectorAll("[data-most]")) {
      while (list.childElementCount > Number(list.dataset.most)) list.firstElementChild.remove();
    }
  }

  // Which cell the panel shows. Kept through updates: the server does not know.
  function mark(event) {
    const opener = event.target.closest("[data-opens]");
    if (!opener) return;
    for (const each of document.querySelectorAll("[data-opens][aria-current]")) each.removeAttribute("aria-current");
    opener.setAttribute("aria-current", "true");
  }

  // On a narrow window the grid is wider than its box: begin with the phase that has failed, or that works.
  function reveal() {
    const grid = document.getElementById("grid");
    const wanted = grid?.querySelector(".entry.bad, thead .current")?.closest("td, th");
    if (!wanted) return;
    const box = grid.closest(".scroll");
    const hidden = wanted.offsetLeft + wanted.offsetWidth > box.clientWidth;
    if (hidden) box.scrollLeft = wanted.offsetLeft - grid.querySelector(".corner").offsetWidth;
  }

  document.addEventListener("click", leave);
  document.addEventListener("click", pressed);
  document.addEventListener("click", mark);
  document.addEventListener("htmx:responseError", failed);
  document.addEventListener("htmx:sendError", failed);
  document.addEventListener("htmx:timeout", failed);
  document.addEventListener("htmx:afterRequest", (event) => event.detail.successful && say(""));
  document.addEventListener("htmx:afterSwap", opened);
  document.addEventListener("htmx:beforeSwap", tail);
  document.addEventListener("htmx:afterSettle", trim);
  document.addEventListener("htmx:afterSettle", tail);
  document.addEventListener("htmx:afterSettle", () => times(document));
  setInterval(() => times(document), 10000);
  keep();
  times(document);
  reveal();
})();
