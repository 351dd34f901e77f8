/* The labelling view: Ctrl+Enter saves, and typed text survives a closed tab. The other keys are
   handled by app.js (data-key). */
(() => {
  "use strict";
  let unsavedField = null; /* a text box whose text may not be saved yet */

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
    const form = event.target.closest("form");
    const inside = form && form.querySelector("details[open] button[value=save]");
    const save = inside || document.querySelector("[data-save]");
    if (!save || (form && form !== save.form)) return;
    event.preventDefault();
    save.click();
  });

  /* htmx does not send the pressed button when it stands outside its form, so a hidden field does. */
  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    for (const old of form.querySelectorAll("[data-pressed]")) old.remove();
    if (!button || !button.name || form.contains(button)) return;
    const pressed = Object.assign(document.createElement("input"), { type: "hidden", name: button.name, value: button.value });
    pressed.dataset.pressed = "";
    form.append(pressed);
    setTimeout(() => pressed.remove()); /* after the request is sent */
  }, true);

  document.addEventListener("input", (event) => {
    if (event.target.matches && event.target.matches("[data-keep]")) unsavedField = event.target;
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt === unsavedField && event.detail.successful) unsavedField = null;
  });
  function saveNow() {
    if (!unsavedField || !unsavedField.isConnected) return;
    navigator.sendBeacon(unsavedField.dataset.keep, new FormData(unsavedField.form));
    unsavedField = null;
  }
  addEventListener("pagehide", saveNow);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && saveNow());

  /* Opening the box with the key W puts the cursor into it. */
  document.addEventListener("click", (event) => {
    const summary = event.target.closest && event.target.closest(".unlisted > summary");
    if (!summary || summary.parentElement.open) return;
    event.preventDefault();
    summary.parentElement.open = true;
    summary.parentElement.querySelector("textarea").focus();
  });
})();
