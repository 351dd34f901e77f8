/* Both answers appear as they are written. Without this file the form posts and the page comes back. */
(() => {
  "use strict";
  const form = document.getElementById("say");
  if (!form) return;
  const field = form.elements.question;
  const history = form.elements.history;
  const talk = document.getElementById("talk");
  const trouble = document.getElementById("chat-error");
  const turns = JSON.parse(history.value || "[]");
  let busy = null; // the request under way

  function fail(words) {
    trouble.querySelector("span").textContent = words;
    trouble.hidden = false;
  }

  function newTurn(asked) {
    const turn = document.getElementById("turn").content.cloneNode(true).firstElementChild;
    turn.querySelector(".asked").textContent = asked;
    talk.append(turn);
    turn.scrollIntoView({ block: "nearest" });
    return turn;
  }

  function hear(turn, said, event) {
    const voice = turn.querySelector(`[data-lane="${event.lane}"]`);
    if (event.text) {
      said[event.lane] += event.text;
      voice.querySelector("p").textContent = said[event.lane];
    }
    if (event.done) {
      voice.classList.remove("writing");
      if (event.seconds) voice.querySelector("small").textContent = `${event.seconds.toFixed(1)} s`;
    }
    if (event.error) throw new Error(event.error);
  }

  async function listen(response, turn, said) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) hear(turn, said, JSON.parse(line));
    }
  }

  async function ask(question) {
    const turn = newTurn(question);
    const said = { base: "", tuned: "" };
    const body = new FormData(form);
    body.set("question", question);
    busy = new AbortController();
    try {
      const response = await fetch(form.dataset.stream, { method: "POST", body, signal: busy.signal });
      if (!response.ok) {
        const told = response.headers.get("content-type") === "application/json" ? await response.json() : {};
        throw new Error(told.error || "That did not work. Reload the page and try again.");
      }
      await listen(response, turn, said);
      turns.push({ asked: question, ...said });
      history.value = JSON.stringify(turns);
    } catch (error) {
      if (error.name !== "AbortError") fail(error.message);
      if (!field.value) field.value = question; // nothing typed is lost
    } finally {
      for (const voice of turn.querySelectorAll(".writing")) voice.classList.remove("writing");
      busy = null;
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = field.value.trim();
    if (!question || busy) return;
    trouble.hidden = true;
    document.getElementById("chat-ideas")?.remove();
    field.value = "";
    ask(question);
  });
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
  window.addEventListener("pagehide", () => busy && busy.abort());
})();
