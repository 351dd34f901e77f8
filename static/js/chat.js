/* Both answers appear as they are written. Without this file the form posts and the page comes back. */
(() => {
  "use strict";
  const form = document.getElementById("say");
  if (!form) return;
  const talk = document.getElementById("talk");
  const turns = JSON.parse(form.elements.history.value || "[]");
  const hidden = "hidden" in form.dataset; /* names are hidden, and so is what would give them away */

  function began(asked) {
    const turn = document.getElementById("turn").content.cloneNode(true).firstElementChild;
    turn.querySelector(".asked").textContent = asked;
    turn.setAttribute("aria-busy", "true"); // read out once it is whole, not word by word
    talk.append(turn);
    turn.scrollIntoView({ block: "nearest" });
    const lanes = [...turn.querySelectorAll("[data-lane]")].map((voice) => [voice.dataset.lane, ""]);
    return { turn, said: Object.fromEntries(lanes) };
  }

  /* The page follows the writing, unless the person has scrolled up to read. */
  function follow(turn, write) {
    const near = innerHeight + scrollY > document.documentElement.scrollHeight - 160;
    write();
    if (near) turn.scrollIntoView({ block: "end" });
  }

  /* A long answer scrolls in its own box; the keyboard must get there too. */
  function reach(words) {
    if (words.scrollHeight > words.clientHeight) words.tabIndex = 0;
  }
  talk.querySelectorAll(".voice .verbatim").forEach(reach);

  /* "topic: repair" lines become a small ledger, as everywhere else. */
  const line = /^[ \t]*([^\W\d][\w-]*(?: [\w-]+){0,2}):(?:[ \t]+(.*))?$/u;
  function ledger(place) {
    const lines = place.textContent.split("\n").filter((text) => text.trim());
    const found = lines.map((text) => line.exec(text));
    if (lines.length < 2 || found.includes(null)) return;
    const list = document.createElement("dl");
    list.className = "answer";
    for (const [, key, value] of found) {
      const pair = [document.createElement("dt"), document.createElement("dd")];
      pair[0].textContent = key;
      pair[1].textContent = (value || "").trim() || "–";
      if (pair[1].textContent.length > 60) pair[1].className = "say";
      list.append(...pair);
    }
    place.replaceWith(list);
  }

  /* What was looked up before the answer: numbered, each with the way to its place. */
  function cite(voice, cited) {
    const place = document.getElementById("cited").content.cloneNode(true).firstElementChild;
    if (!cited.length) place.querySelector(".label").textContent = place.dataset.none;
    for (const one of cited) {
      const item = document.createElement("li");
      const name = document.createElement(one.url ? "a" : "b");
      if (one.url) name.href = one.url;
      name.textContent = one.name;
      const where = document.createElement("small");
      where.textContent = one.page ? `${one.title} · ${place.dataset.page} ${one.page}` : one.title;
      item.append(name, " ", where);
      place.querySelector("ol").append(item);
    }
    voice.append(place);
  }

  function heard({ turn, said }, event) {
    const voice = turn.querySelector(`[data-lane="${event.lane}"]`);
    if (event.cited && !hidden) cite(voice, event.cited);
    if (event.trouble) {
      const words = voice.querySelector("p");
      words.className = "said bad";
      words.textContent = event.trouble;
      voice.classList.remove("writing");
      return;
    }
    if (event.text) {
      said[event.lane] += event.text;
      const words = voice.querySelector("p");
      follow(turn, () => { words.textContent = said[event.lane]; });
      words.scrollTop = words.scrollHeight; // a long answer keeps to its own box
    }
    if (event.done) {
      voice.classList.remove("writing");
      if (event.seconds && !hidden) voice.querySelector("small").textContent = `${event.seconds.toFixed(1)} s`;
      reach(voice.querySelector("p"));
      ledger(voice.querySelector("p"));
    }
  }

  function ended({ turn, said }, question) {
    if (Object.values(said).some(Boolean)) {
      turns.push({ asked: question, ...said });
      for (const place of document.querySelectorAll("[name=history]")) place.value = JSON.stringify(turns);
      document.getElementById("guessing")?.removeAttribute("hidden");
    } else if (!turn.querySelector(".said.bad")) turn.remove();
    turn.removeAttribute("aria-busy");
    for (const voice of turn.querySelectorAll(".writing")) voice.classList.remove("writing");
  }

  talking(form, {
    to: form.dataset.stream, stops: document.getElementById("hush"),
    trouble: document.getElementById("chat-error"), began, heard, ended,
  });
})();
