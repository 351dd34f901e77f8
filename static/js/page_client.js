/* Asks a deployment one question at a time and shows its answer while it is written. Used by the
   playground and the public chat page. Without this file the form posts and the whole page is returned. */
(() => {
  "use strict";
  const form = document.querySelector("form[data-asks]");
  if (!form) return;
  const conversation = document.getElementById("conversation");
  const live = document.getElementById("live");

  function addFromTemplate(id) {
    const added = document.getElementById(id).content.cloneNode(true).firstElementChild;
    conversation.append(added);
    return added;
  }

  /* version 3 · 23 tokens · 0.8 s · 29 tokens a second */
  function showFacts(place, event) {
    if (!place || !event.tokens) return;
    const [version, tokens, pace, cut] = place.dataset.words.split("|");
    const found = [`${event.tokens} ${tokens}`, `${event.seconds.toFixed(1)} s`];
    if (event.version) found.unshift(`${version} ${event.version}`);
    if (event.seconds > 0) found.push(`${(event.tokens / event.seconds).toFixed(0)} ${pace}`);
    if (event.finish_reason === "length") found.push(cut);
    for (const words of found) {
      const one = document.createElement("span");
      one.textContent = words;
      place.append(one);
    }
  }

  /* Feedback needs the reply's id, which the last event brings. */
  function showFeedback(after, id) {
    if (!after) return;
    for (const thumbs of after.querySelectorAll("form")) {
      for (const name of ["action", "hx-post"])
        thumbs.setAttribute(name, thumbs.getAttribute(name).replace("/REPLY/", `/${encodeURIComponent(id)}/`));
      for (const one of thumbs.querySelectorAll("[id]")) one.id = one.id.replace("REPLY", id);
      htmx.process(thumbs);
    }
    after.hidden = false;
  }

  function startTurn(question) {
    document.getElementById("greeting-note")?.remove();
    const turn = { asked: addFromTemplate("asked"), reply: addFromTemplate("reply"), text: "" };
    turn.asked.textContent = question;
    turn.reply.setAttribute("aria-busy", "true"); // read out once it is whole
    turn.reply.scrollIntoView({ block: "nearest" });
    return turn;
  }

  function receiveEvent(turn, event) {
    const words = turn.reply.querySelector(":scope > .verbatim");
    showThought(turn.reply.querySelector(".thought"), event);
    if (event.text) turn.text += event.text;
    if (event.done || (event.text && (!live || live.checked))) words.textContent = turn.text;
    if (event.done) {
      showFacts(turn.reply.querySelector(".facts"), event);
      showFeedback(turn.reply.querySelector("[data-after]"), event.id);
    }
    if (innerHeight + scrollY > document.documentElement.scrollHeight - 200) turn.reply.scrollIntoView({ block: "end" });
  }

  function finishTurn({ asked, reply, text }, question) {
    if (text) {
      const turns = JSON.parse(form.elements.history.value || "[]");
      turns.push({ role: "user", content: question }, { role: "assistant", content: text });
      form.elements.history.value = JSON.stringify(turns);
    } else {
      asked.remove();
      reply.remove();
    }
    reply.removeAttribute("aria-busy");
    reply.classList.remove("writing");
  }

  streamAnswers(form, {
    url: form.action, stopButton: form.querySelector(".stops"), errorBox: document.getElementById("ask-error"),
    start: startTurn, receive: receiveEvent, finish: finishTurn,
  });
})();
