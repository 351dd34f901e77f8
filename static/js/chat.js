/* Shows both answers while they are written. Without JavaScript the form is posted and the server
   returns the page with the answers. */
(() => {
  "use strict";
  const form = document.getElementById("question-form");
  if (!form) return;
  const conversation = document.getElementById("conversation");
  const turns = JSON.parse(form.elements.history.value || "[]");
  const hidden = "hidden" in form.dataset; /* names are hidden, and so is all that gives them away */

  function start(question) {
    const turn = document.getElementById("turn").content.cloneNode(true).firstElementChild;
    turn.querySelector(".asked").textContent = question;
    turn.setAttribute("aria-busy", "true"); /* screen readers read it once it is complete */
    /* Only first answers follow the same conversation, so only they can be compared. */
    for (const prefer of turn.querySelectorAll(".prefer")) turns.length ? prefer.remove() : (prefer.hidden = true);
    conversation.append(turn);
    turn.scrollIntoView({ block: "nearest" });
    const names = [...turn.querySelectorAll("[data-column]")].map((column) => [column.dataset.column, ""]);
    return { turn, answers: Object.fromEntries(names) };
  }

  /* Keeps the end of the answer in view, unless the user has scrolled up. */
  function followWriting(turn, write) {
    const isNearEnd = innerHeight + scrollY > document.documentElement.scrollHeight - 160;
    write();
    if (isNearEnd) turn.scrollIntoView({ block: "end" });
  }

  /* A long answer scrolls in its own box, which the keyboard must be able to focus. */
  function makeFocusable(text) {
    if (text.scrollHeight > text.clientHeight) text.tabIndex = 0;
  }
  conversation.querySelectorAll(".answer-column .verbatim").forEach(makeFocusable);

  /* An answer in lines of "topic: repair" becomes a definition list, as on other pages. */
  const keyLine = /^[ \t]*([^\W\d][\w-]*(?: [\w-]+){0,2}):(?:[ \t]+(.*))?$/u;
  function formatKeyLines(text) {
    const lines = text.textContent.split("\n").filter((line) => line.trim());
    const matches = lines.map((line) => keyLine.exec(line));
    if (lines.length < 2 || matches.includes(null)) return;
    const list = document.createElement("dl");
    list.className = "answer";
    for (const [, key, value] of matches) {
      const term = document.createElement("dt"), description = document.createElement("dd");
      term.textContent = key;
      description.textContent = (value || "").trim() || "–";
      if (description.textContent.length > 60) description.className = "say";
      list.append(term, description);
    }
    text.replaceWith(list);
  }

  /* The passages that were retrieved for the answer, numbered, with links to their documents. */
  function showCitations(column, passages) {
    const box = document.getElementById("cited").content.cloneNode(true).firstElementChild;
    if (!passages.length) box.querySelector(".label").textContent = box.dataset.none;
    for (const passage of passages) {
      const item = document.createElement("li");
      const name = document.createElement(passage.url ? "a" : "b");
      if (passage.url) name.href = passage.url;
      name.textContent = passage.name;
      const where = document.createElement("small");
      where.textContent = passage.page
        ? `${passage.title} · ${box.dataset.page} ${passage.page}` : passage.title;
      item.append(name, " ", where);
      box.querySelector("ol").append(item);
    }
    column.append(box);
  }

  function receive({ turn, answers }, event) {
    const column = turn.querySelector(`[data-column="${event.candidate}"]`);
    const text = column.querySelector(":scope > p");
    if (!hidden) followWriting(turn, () => showThought(column.querySelector(".thought"), event));
    if (event.cited && !hidden) showCitations(column, event.cited);
    if (event.trouble) {
      text.className = "remark bad";
      text.textContent = event.trouble;
      column.classList.remove("writing");
      return;
    }
    if (event.text) {
      answers[event.candidate] += event.text;
      followWriting(turn, () => { text.textContent = answers[event.candidate]; });
      text.scrollTop = text.scrollHeight;
    }
    if (event.done) {
      column.classList.remove("writing");
      if (event.seconds && !hidden) column.querySelector("small").textContent = `${event.seconds.toFixed(1)} s`;
      makeFocusable(text);
      formatKeyLines(text);
    }
  }

  function finish({ turn, answers }, question) {
    if (Object.values(answers).some(Boolean)) {
      turns.push({ asked: question, ...answers });
      for (const field of document.querySelectorAll("[name=history]")) field.value = JSON.stringify(turns);
      document.getElementById("guessing")?.removeAttribute("hidden");
      if (Object.values(answers).every(Boolean)) {
        for (const prefer of turn.querySelectorAll(".prefer")) prefer.hidden = false;
        htmx.process(turn);
      }
    } else if (!turn.querySelector(".remark.bad")) turn.remove();
    turn.removeAttribute("aria-busy");
    for (const column of turn.querySelectorAll(".writing")) column.classList.remove("writing");
  }

  streamAnswers(form, {
    url: form.dataset.stream, stopButton: document.getElementById("stop-answer"),
    errorBox: document.getElementById("chat-error"), start, receive, finish,
  });
})();
