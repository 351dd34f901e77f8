/* Saves what was typed last when the user leaves the page before the delayed save. */
(() => {
  "use strict";
  const form = document.getElementById("draft");
  if (!form || !form.hasAttribute("hx-post")) return;
  let isUnsaved = false;
  form.addEventListener("input", () => { isUnsaved = true; });
  form.addEventListener("submit", () => { isUnsaved = false; });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.requestConfig.verb === "post") isUnsaved = false; /* every POST carries the form */
  });
  addEventListener("beforeunload", () => {
    if (isUnsaved) fetch(form.action, { method: "POST", body: new FormData(form), keepalive: true, redirect: "manual" });
  });
})();
