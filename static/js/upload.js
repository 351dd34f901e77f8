/* Uploads a large file in chunks, which may pause and resume after a reload or a lost connection.
   Smaller files are sent with the form, as without script. The texts are in the page (data-…). */
(() => {
  "use strict";
  const form = document.querySelector("form[data-chunked]");
  const box = form && form.querySelector(".sending");
  if (!box) return;
  const input = form.querySelector("input[type=file]");
  const status = box.querySelector("[role=status]");
  const meter = box.querySelector("progress");
  const pause = box.querySelector("[data-pause]");
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const words = box.dataset;
  const mega = 1024 * 1024;
  let upload = null; /* {url, received, size, chunk_bytes} */
  let running = false;
  let leaving = false;
  let wake = () => {};

  form.addEventListener("submit", (event) => {
    const file = input.files[0];
    if (!file || file.size <= Number(form.dataset.above) * mega) return;
    event.preventDefault();
    if (!running) run(file);
  });
  pause.addEventListener("click", () => {
    if (running) { running = false; wake(); } else form.requestSubmit();
  });
  box.querySelector("[data-forget]").addEventListener("click", async () => {
    running = false;
    wake();
    if (upload) await ask(upload.url, { method: "DELETE" }).catch(() => null);
    leaving = true;
    location.reload();
  });
  addEventListener("online", () => wake());
  addEventListener("beforeunload", (event) => { if (running && !leaving) event.preventDefault(); });

  async function run(file) {
    running = true;
    show(true);
    try {
      const about = new URLSearchParams({ name: file.name, size: file.size, modified: file.lastModified });
      upload = await insist(() => ask(form.dataset.chunked, { method: "POST", body: about }));
      const began = { at: Date.now(), received: upload.received };
      while (running && upload.received < upload.size) {
        tell(file, began);
        const from = upload.received;
        const chunk = file.slice(from, Math.min(from + upload.chunk_bytes, upload.size));
        upload = { ...upload, ...await insist(() => ask(`${upload.url}?offset=${from}`, { method: "PUT", body: chunk })) };
      }
      if (!running) return stopped(words.paused);
      tell(file, began);
      const done = await insist(() => ask(upload.url, { method: "POST" }));
      leaving = true;
      location.assign(done.page);
    } catch (problem) {
      running = false;
      stopped(problem.words || words.paused);
    }
  }

  /* The answer as an object. A refusal is thrown with the server's words. Where a chunk does not
     follow what has arrived, the answer says which offset does. */
  async function ask(url, options) {
    const answer = await fetch(url, { ...options, headers: { "X-CSRFToken": token }, redirect: "error" });
    if (answer.status === 204) return {};
    const told = await answer.json().catch(() => ({}));
    if (answer.ok || "received" in told) return told;
    if (answer.status >= 500 && answer.status !== 507) throw new TypeError("try again");
    throw Object.assign(new Error(), { words: told.problem || words.refused });
  }

  /* Retries while there is no connection, with growing pauses. */
  async function insist(attempt) {
    for (let wait = 1; ; wait = Math.min(2 * wait, 30)) {
      try {
        const answer = await attempt();
        return answer;
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        if (!running) throw error;
        status.textContent = words.offline;
        await new Promise((go) => { wake = go; setTimeout(go, 1000 * wait); });
        if (!running) throw error;
      }
    }
  }

  function tell(file, began) {
    const size = (bytes) => bytes < 1024 * mega ? `${Math.round(bytes / mega)} MB` : `${(bytes / 1024 / mega).toFixed(1)} GB`;
    const seconds = (Date.now() - began.at) / 1000;
    const pace = (upload.received - began.received) / seconds;
    const left = pace > 0 && seconds > 2 ? Math.round((upload.size - upload.received) / pace) : 0;
    const minutes = Math.ceil(left / 60);
    meter.max = upload.size;
    meter.value = upload.received;
    status.textContent = words.going
      .replace("{done}", size(upload.received)).replace("{all}", size(upload.size))
      .replace("{name}", file.name)
      + (left ? ` ${words.left.replace("{minutes}", minutes)}` : "");
  }

  function stopped(why) {
    status.textContent = why;
    pause.textContent = words.go;
  }

  function show(on) {
    box.hidden = !on;
    pause.textContent = words.stop;
    status.textContent = "";
    box.scrollIntoView({ block: "nearest" });
  }
})();
