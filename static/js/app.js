/* Little conveniences on top of pages that work without them. No eval, no inline style. */
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  /* Times are sent in UTC and shown in the person's own zone. */
  const shapes = {
    both: { day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit" },
    date: { day: "numeric", month: "long", year: "numeric" },
    time: { hour: "2-digit", minute: "2-digit" },
  };
  function localTimes(root) {
    for (const time of all("time[data-local]", root)) {
      const moment = new Date(time.dateTime);
      const language = document.documentElement.lang || undefined;
      const full = moment.toLocaleString(language, shapes.both);
      const shape = shapes[time.dataset.local];
      if (shape) time.textContent = moment.toLocaleString(language, shape);
      if (time.dataset.local !== "both") time.title = full;
    }
  }

  /* "Saved": say it quietly, for a moment. Any response may send HX-Trigger: {"saved": "Saved"}. */
  let hideSaved = 0;
  function saved(words) {
    const place = document.getElementById("saved");
    if (!place) return;
    place.textContent = words;
    place.classList.add("shown");
    clearTimeout(hideSaved);
    hideSaved = setTimeout(() => place.classList.remove("shown"), 2400);
  }
  document.addEventListener("saved", (event) => {
    const text = event.detail && event.detail.value;
    saved(typeof text === "string" ? text : "Saved");
  });

  /* A fragment may rename the tab: <... data-title="Done: Is it learning?">. */
  function title(root) {
    const named = root.matches && root.matches("[data-title]") ? root : root.querySelector("[data-title]");
    if (named) document.title = named.dataset.title;
  }

  /* Menus close when one looks elsewhere. */
  function closeMenus(except) {
    for (const menu of all("details.menu[open]")) if (menu !== except) menu.open = false;
  }
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.menu[open]");
    if (!open) return;
    open.open = false;
    open.querySelector("summary").focus();
    event.stopPropagation();
  });

  /* Keys: data-key on a button or link presses it (several with a space between); 1 to 9 choose in
     a [data-keys] group. */
  const names = { "↵": "Enter", Esc: "Escape", "←": "ArrowLeft", "→": "ArrowRight", "↑": "ArrowUp", "↓": "ArrowDown" };
  const typing = (target) => target.closest("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=button], [type=submit])");
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (document.querySelector(":popover-open, details.menu[open]")) return;
    const onControl = event.target.closest("a, button, summary, input");
    for (const element of all("[data-key]")) {
      const keys = element.dataset.key.split(" ").map((key) => names[key] || key);
      const key = keys.find((one) => one.toLowerCase() === event.key.toLowerCase());
      if (!key || element.disabled) continue;
      if (onControl && (key === "Enter" || key === " ") && !onControl.matches("input[type=radio]")) return;
      if (!element.offsetParent) continue;
      event.preventDefault();
      if (element.matches("label, input[type=radio]")) (element.control || element).focus();
      element.click();
      return;
    }
    if (!/^[1-9]$/.test(event.key)) return;
    const groups = all("[data-keys]").filter((group) => group.offsetParent);
    const group = groups.find((one) => one.contains(document.activeElement)) || groups[0];
    const input = group && all("input", group)[Number(event.key) - 1];
    if (!input) return;
    event.preventDefault();
    input.focus();
    input.click();
  });

  /* Light, dark or as the system says: at once, and remembered by the server's cookie. */
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-theme-form]");
    if (!form || !event.submitter) return;
    event.preventDefault();
    const theme = event.submitter.value;
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    for (const button of all("button", form)) button.setAttribute("aria-pressed", String(button === event.submitter));
    const body = new FormData(form);
    body.set("theme", theme);
    fetch(form.action, { method: "POST", body, redirect: "manual" });
  });

  /* A second press of the same button sends nothing twice. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    setTimeout(() => delete form.dataset.sent, 4000); /* a download leaves the page where it is */
  });
  addEventListener("pageshow", () => { for (const form of all("form[data-sent]")) delete form.dataset.sent; });

  /* Copy: <button data-copy="#id"> copies that element's text. */
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.querySelector(button.dataset.copy);
    try {
      await navigator.clipboard.writeText((source.value ?? source.textContent).trim());
      saved("Copied");
    } catch { /* browsers copy for us only on https and on this computer's own address */
      getSelection().selectAllChildren(source);
      source.select?.();
      saved("Press Ctrl+C to copy");
    }
  });

  /* The drop zone is the file control itself; this only lights it up. */
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      const zone = event.target.closest && event.target.closest("[data-drop]");
      if (zone) zone.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  /* A form marked data-at-once sends itself when something in it is chosen (filters, files). */
  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (form && "atOnce" in form.dataset) form.requestSubmit();
  });

  /* A row is its label's target: click anywhere on a row of choices. */
  document.addEventListener("click", (event) => {
    if (event.target.closest("a, button, input, label, select, textarea, summary")) return;
    const row = event.target.closest("[data-row]");
    const input = row && row.querySelector("input[type=radio], input[type=checkbox]");
    if (input && !input.disabled) input.click();
  });

  /* Ticked rows: one box ticks them all, and the menu says how many are ticked. */
  function ticks(root) {
    for (const every of all("[data-tick-all]", root)) every.hidden = false;
  }
  document.addEventListener("change", (event) => {
    const every = event.target.closest("[data-tick-all]");
    const name = every ? every.dataset.tickAll : event.target.matches("td input[type=checkbox][form]") && event.target.name;
    if (!name) return;
    const boxes = all(`input[type=checkbox][name="${name}"]`);
    if (every) for (const box of boxes) box.checked = every.checked;
    const ticked = boxes.filter((box) => box.checked).length;
    const main = document.querySelector(`[data-tick-all="${name}"]`);
    main.checked = ticked === boxes.length;
    main.indeterminate = ticked > 0 && !main.checked;
    const option = document.querySelector("[data-ticked]");
    if (option) {
      option.textContent = option.dataset.ticked.replace("0", ticked);
      option.closest("select").value = option.value;
    }
  });

  /* A drawer with an id that stands open stays open when htmx brings its part of the page anew. */
  let opened = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    opened = all("details.drawer[id][open]", event.detail.target).map((drawer) => drawer.id);
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  });

  /* What went wrong on the way is said, not swallowed. */
  document.addEventListener("htmx:sendError", () => saved("No connection to the server. Nothing was changed."));
  document.addEventListener("htmx:responseError", (event) => {
    const gone = event.detail.xhr.status;
    saved(gone === 403 ? "You may not change this. Reload the page." : "That did not work. Reload the page and try again.");
  });

  function ready(root) { localTimes(root); title(root); ticks(root); }
  document.addEventListener("htmx:load", (event) => ready(event.detail.elt));
  document.addEventListener("DOMContentLoaded", () => { localTimes(document); ticks(document); });
})();
