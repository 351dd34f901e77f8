/* The focus view: Ctrl+Enter saves, and what was typed survives a closed tab. The rest is in
   forms and in app.js (data-key). */
(() => {
  "use strict";
  let typed = null; /* a box whose text may not have been kept yet */

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
    const form = event.target.closest("form");
    const inside = form && form.querySelector("details[open] button[value=save]");
    const save = inside || document.querySelector("[data-save]");
    if (!save || (form && form !== save.form)) return;
    event.preventDefault();
    save.click();
  });

  /* htmx does not see which button was pressed when it stands outside its form, in the bar. */
  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    for (const old of form.querySelectorAll("[data-pressed]")) old.remove();
    if (!button || !button.name || form.contains(button)) return;
    const pressed = Object.assign(document.createElement("input"), { type: "hidden", name: button.name, value: button.value });
    pressed.dataset.pressed = "";
    form.append(pressed);
    setTimeout(() => pressed.remove()); /* the request is on its way by then */
  }, true);

  document.addEventListener("input", (event) => {
    if (event.target.matches && event.target.matches("[data-keep]")) typed = event.target;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt === typed && event.detail.successful) typed = null;
  });
  function keepNow() {
    if (!typed || !typed.isConnected) return;
    navigator.sendBeacon(typed.dataset.keep, new FormData(typed.form));
    typed = null;
  }
  addEventListener("pagehide", keepNow);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && keepNow());

  /* Opening the box with W means to write in it, from the first letter on. */
  document.addEventListener("click", (event) => {
    const summary = event.target.closest && event.target.closest(".unlisted > summary");
    if (!summary || summary.parentElement.open) return;
    event.preventDefault();
    summary.parentElement.open = true;
    summary.parentElement.querySelector("textarea").focus();
  });
})();
