/* Posts a question and reads the answer as JSON lines while it is written. Shared by chat.js and
   page_client.js: the form, the stop button and errors.

   start(question) adds the turn to the page and returns it; receive(turn, event) shows one line;
   finish(turn, question) is called at the end, also after an error or a stop. */
/* Shows what the model thinks: open while it is written, folded once the answer begins. */
window.showThought = (box, event) => {
  "use strict";
  if (!box) return;
  if (event.thought) {
    if (box.hidden) { box.hidden = false; box.open = true; }
    box.querySelector(".verbatim").textContent += event.thought;
  } else if (event.text && box.dataset.folded === undefined) {
    box.dataset.folded = ""; /* once: people may open it again */
    box.open = false;
  }
};

window.streamAnswers = (form, options) => {
  "use strict";
  const { url, stopButton, errorBox, start, receive, finish } = options;
  const field = form.elements.question;
  const askButtons = form.querySelector(".asks");
  let controller = null; /* of the request that is running */

  function showError(text) {
    errorBox.querySelector("span").textContent = text;
    errorBox.hidden = false;
    errorBox.scrollIntoView({ block: "nearest" });
  }

  function setRunning(request) {
    controller = request;
    askButtons.hidden = Boolean(request);
    stopButton.hidden = !request;
  }

  async function readEvents(response, turn) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const event of lines.filter(Boolean).map((line) => JSON.parse(line))) {
        if (event.error) throw new Error(event.error);
        receive(turn, event);
      }
    }
  }

  async function errorText(response) {
    const isJson = (response.headers.get("content-type") || "").startsWith("application/json");
    return (isJson && (await response.json()).error) || form.dataset.trouble
      || "That did not work. Reload the page and try again.";
  }

  async function ask(question) {
    const turn = start(question);
    const body = new FormData(form);
    body.set("question", question);
    setRunning(new AbortController());
    try {
      const response = await fetch(url, {
        method: "POST", body, signal: controller.signal, headers: { Accept: "application/x-ndjson" },
      });
      if (!response.ok) throw new Error(await errorText(response));
      await readEvents(response, turn);
    } catch (error) {
      if (error.name !== "AbortError") {
        showError(error.message);
        if (!field.value) field.value = question; /* so that it can be sent again */
      }
    } finally {
      finish(turn, question);
      setRunning(null);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = field.value.trim();
    if (!question || controller) return;
    errorBox.hidden = true;
    document.getElementById("ideas")?.remove();
    field.value = "";
    ask(question);
  });
  stopButton.addEventListener("click", () => { controller?.abort(); field.focus(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  document.addEventListener("click", (event) => {
    const idea = event.target.closest("[data-ask]");
    if (!idea || controller) return;
    field.value = idea.textContent;
    form.requestSubmit();
  });
  window.addEventListener("pagehide", () => controller?.abort());
};
