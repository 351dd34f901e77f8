/* One question at a time to what is live; its answer appears as it is written. Serves the
   playground and the chat page for others. Without this file the form posts and the page comes back. */
(() => {
  "use strict";
  const form = document.querySelector("form[data-asks]");
  if (!form) return;
  const field = form.elements.question;
  const talk = document.getElementById("talk");
  const trouble = document.getElementById("ask-error");
  const asks = form.querySelector(".asks");
  const stops = form.querySelector(".stops");
  const live = document.getElementById("live");
  let busy = null; // the request under way

  function fresh(id) {
    const made = document.getElementById(id).content.cloneNode(true).firstElementChild;
    talk.append(made);
    return made;
  }

  function fail(words) {
    trouble.querySelector("span").textContent = words;
    trouble.hidden = false;
    trouble.scrollIntoView({ block: "nearest" });
  }

  function working(request) {
    busy = request;
    asks.hidden = Boolean(request);
    stops.hidden = !request;
  }

  /* version 3 · 23 tokens · 0.8 s · 29 tokens a second */
  function facts(place, told) {
    if (!place || !told.tokens) return;
    const [version, tokens, pace, cut] = place.dataset.words.split("|");
    const found = [`${told.tokens} ${tokens}`, `${told.seconds.toFixed(1)} s`];
    if (told.version) found.unshift(`${version} ${told.version}`);
    if (told.seconds > 0) found.push(`${(told.tokens / told.seconds).toFixed(0)} ${pace}`);
    if (told.finish_reason === "length") found.push(cut);
    for (const words of found) {
      const one = document.createElement("span");
      one.textContent = words;
      place.append(one);
    }
  }

  /* Now that the reply has an id, one can say what one thinks of it. */
  function judged(after, id) {
    if (!after) return;
    for (const thumbs of after.querySelectorAll("form")) {
      for (const name of ["action", "hx-post"])
        thumbs.setAttribute(name, thumbs.getAttribute(name).replace("/REPLY/", `/${encodeURIComponent(id)}/`));
      for (const one of thumbs.querySelectorAll("[id]")) one.id = one.id.replace("REPLY", id);
      htmx.process(thumbs);
    }
    after.hidden = false;
  }

  async function listen(response, reply, said) {
    const words = reply.querySelector(".verbatim");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines.filter(Boolean)) {
        const told = JSON.parse(line);
        if (told.error) throw new Error(told.error);
        if (told.text) said.text += told.text;
        if (told.text && (!live || live.checked)) words.textContent = said.text;
        if (told.done) {
          words.textContent = said.text;
          facts(reply.querySelector(".facts"), told);
          judged(reply.querySelector("[data-after]"), told.id);
        }
      }
      if (innerHeight + scrollY > document.documentElement.scrollHeight - 200) reply.scrollIntoView({ block: "end" });
    }
  }

  async function ask(question) {
    const asked = fresh("asked");
    asked.textContent = question;
    const reply = fresh("reply");
    reply.setAttribute("aria-busy", "true"); // read out once it is whole
    reply.scrollIntoView({ block: "nearest" });
    const body = new FormData(form);
    body.set("question", question);
    const said = { text: "" };
    working(new AbortController());
    try {
      const response = await fetch(form.action, {
        method: "POST", body, signal: busy.signal, headers: { Accept: "application/x-ndjson" },
      });
      if (!response.ok) {
        const json = (response.headers.get("content-type") || "").startsWith("application/json");
        throw new Error((json && (await response.json()).error) || form.dataset.trouble || "That did not work. Reload the page and try again.");
      }
      await listen(response, reply, said);
    } catch (error) {
      if (error.name !== "AbortError") {
        fail(error.message);
        if (!field.value) field.value = question; // nothing typed is lost
      }
    } finally {
      if (said.text) {
        const turns = JSON.parse(form.elements.history.value || "[]");
        turns.push({ role: "user", content: question }, { role: "assistant", content: said.text });
        form.elements.history.value = JSON.stringify(turns);
      } else {
        asked.remove();
        reply.remove();
      }
      reply.removeAttribute("aria-busy");
      reply.classList.remove("writing");
      working(null);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = field.value.trim();
    if (!question || busy) return;
    trouble.hidden = true;
    document.getElementById("greeting-note")?.remove();
    field.value = "";
    ask(question);
  });
  stops.addEventListener("click", () => { busy?.abort(); field.focus(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  window.addEventListener("pagehide", () => busy && busy.abort());
})();
