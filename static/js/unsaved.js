/* What somebody types into a form marked data-unsaved outlives its page: a closed tab, a list that
   is filtered anew. It stays in this browser until it is sent or forgotten, or they sign out. */
(() => {
  "use strict";
  const PREFIX = "unsaved ", WEEK = 7 * 24 * 3600 * 1000;
  const boxes = (form) => [...form.querySelectorAll("textarea[name]:not([readonly])")];
  const began = (form) => form.querySelector("input[name=changed_at]"); /* tells what others changed since */
  const key = (form) => PREFIX + form.dataset.unsaved;

  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (!form || !("unsaved" in form.dataset)) return;
    const texts = Object.fromEntries(boxes(form).map((box) => [box.name, box.value]));
    try {
      localStorage.setItem(key(form), JSON.stringify({ at: Date.now(), texts, began: began(form)?.value }));
    } catch { /* the browser keeps nothing, or no more */ }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if ("unsaved" in form.dataset && !event.defaultPrevented) localStorage.removeItem(key(form));
    if ("signsOut" in form.dataset) forgetAll(() => true);
  });

  function forgetAll(wanted) {
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(PREFIX) && wanted(name)) localStorage.removeItem(name);
    }
  }

  function bringBack(form) {
    const kept = JSON.parse(localStorage.getItem(key(form)) || "null");
    const other = kept && boxes(form).filter((box) => (kept.texts[box.name] ?? box.value) !== box.value);
    if (!other || !other.length) return;
    const seen = began(form), now = seen && seen.value;
    for (const box of other) box.value = kept.texts[box.name];
    if (seen && kept.began) seen.value = kept.began;
    const note = document.createElement("p"), forget = document.createElement("button");
    note.className = "note calm small wide";
    note.setAttribute("role", "status");
    Object.assign(forget, { type: "button", className: "link", textContent: form.dataset.forget });
    forget.addEventListener("click", () => {
      for (const box of other) box.value = box.defaultValue;
      if (seen) seen.value = now;
      localStorage.removeItem(key(form));
      note.remove();
      other[0].focus();
    });
    note.append(form.dataset.kept, " ", forget);
    form.prepend(note);
  }

  function ready(root) {
    for (const form of root.querySelectorAll("form[data-unsaved]")) bringBack(form);
  }
  document.addEventListener("htmx:load", (event) => event.detail.elt !== document.body && ready(event.detail.elt));
  document.addEventListener("DOMContentLoaded", () => {
    forgetAll((name) => Date.now() - JSON.parse(localStorage.getItem(name)).at > WEEK);
    ready(document);
  });
})();
