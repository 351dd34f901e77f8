/* One question at a time to what is live; its answer appears as it is written. Serves the
   playground and the chat page for others. Without this file the form posts and the page comes back. */
(() => {
  "use strict";
  const form = document.querySelector("form[data-asks]");
  if (!form) return;
  const conversation = document.getElementById("conversation");
  const live = document.getElementById("live");

  function fresh(id) {
    const made = document.getElementById(id).content.cloneNode(true).firstElementChild;
    conversation.append(made);
    return made;
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

  function began(question) {
    document.getElementById("greeting-note")?.remove();
    const room = { asked: fresh("asked"), reply: fresh("reply"), text: "" };
    room.asked.textContent = question;
    room.reply.setAttribute("aria-busy", "true"); // read out once it is whole
    room.reply.scrollIntoView({ block: "nearest" });
    return room;
  }

  function heard(room, told) {
    const words = room.reply.querySelector(".verbatim");
    if (told.text) room.text += told.text;
    if (told.done || (told.text && (!live || live.checked))) words.textContent = room.text;
    if (told.done) {
      facts(room.reply.querySelector(".facts"), told);
      judged(room.reply.querySelector("[data-after]"), told.id);
    }
    if (innerHeight + scrollY > document.documentElement.scrollHeight - 200) room.reply.scrollIntoView({ block: "end" });
  }

  function ended({ asked, reply, text }, question) {
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
    start: began, receive: heard, finish: ended,
  });
})();
