/* Whoever leaves in the middle of a word loses none of it: the last keystrokes are sent on the way out. */
(() => {
  "use strict";
  const form = document.getElementById("draft");
  if (!form || !form.hasAttribute("hx-post")) return;
  let unsaved = false;
  form.addEventListener("input", () => { unsaved = true; });
  form.addEventListener("submit", () => { unsaved = false; });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.requestConfig.verb === "post") unsaved = false; /* each of them carries the form */
  });
  addEventListener("beforeunload", () => {
    if (unsaved) fetch(form.action, { method: "POST", body: new FormData(form), keepalive: true, redirect: "manual" });
  });
})();
