/* A question goes out, and lines of JSON come back while the answer is being written. What chat.js
   and page_client.js have in common: the form, the button that stops, what goes wrong.

   began(question) makes room on the page and returns it; heard(room, event) shows one line;
   ended(room, question) tidies up, however it ended. */
window.talking = (form, its) => {
  "use strict";
  const { to, stops, trouble, began, heard, ended } = its;
  const field = form.elements.question;
  const asks = form.querySelector(".asks");
  let busy = null; // the request under way

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

  async function listen(response, room) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const event of lines.filter(Boolean).map((line) => JSON.parse(line))) {
        if (event.error) throw new Error(event.error);
        heard(room, event);
      }
    }
  }

  async function refusal(response) {
    const json = (response.headers.get("content-type") || "").startsWith("application/json");
    return (json && (await response.json()).error) || form.dataset.trouble
      || "That did not work. Reload the page and try again.";
  }

  async function ask(question) {
    const room = began(question);
    const body = new FormData(form);
    body.set("question", question);
    working(new AbortController());
    try {
      const response = await fetch(to, {
        method: "POST", body, signal: busy.signal, headers: { Accept: "application/x-ndjson" },
      });
      if (!response.ok) throw new Error(await refusal(response));
      await listen(response, room);
    } catch (error) {
      if (error.name !== "AbortError") {
        fail(error.message);
        if (!field.value) field.value = question; // nothing typed is lost
      }
    } finally {
      ended(room, question);
      working(null);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = field.value.trim();
    if (!question || busy) return;
    trouble.hidden = true;
    document.getElementById("ideas")?.remove();
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
  document.addEventListener("click", (event) => {
    const idea = event.target.closest("[data-ask]");
    if (!idea || busy) return;
    field.value = idea.textContent;
    form.requestSubmit();
  });
  window.addEventListener("pagehide", () => busy?.abort());
};
