// Keeps the page current. The hub says that something has happened; then the page is read again, and the parts of it that
// differ are put in place of the old ones. What was opened, selected or in focus stays so.
"use strict";
(() => {
  // A link from `e3 login` has its code behind the #, which no server and no log ever sees.
  const field = document.getElementById("code");
  if (field) {
    const code = location.hash.slice(1);
    if (/^[\w-]{43}$/.test(code)) {
      history.replaceState(null, "", location.pathname);
      field.value = code;
      field.form.requestSubmit();
    }
    return;
  }
  // Looked for each time: it is in a part that is put in place of an old one.
  const status = () => document.getElementById("live");
  if (!status() || !window.EventSource) return;
  const parts = () => document.querySelectorAll("main > [id]");
  const shown = new Map(Array.from(parts(), (part) => [part.id, part.outerHTML]));
  let timer = 0;
  let stream = null;

  const say = (text, lost) => {
    const here = status();
    here.textContent = text;
    here.classList.toggle("lost", lost);
    here.hidden = false;
  };

  const replace = (part, fresh) => {
    const html = fresh.outerHTML;
    const selection = getSelection();
    const selected = !selection.isCollapsed && part.contains(selection.anchorNode);
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    if (shown.get(part.id) === html || selected || active?.matches("input")) return;
    const focus = active?.getAttribute("href");
    for (const open of part.querySelectorAll("details[open][id]")) {
      const same = fresh.querySelector("#" + CSS.escape(open.id));
      if (same) same.open = true;
    }
    shown.set(part.id, html);
    part.replaceWith(document.adoptNode(fresh));
    if (focus) fresh.querySelector(`[href="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    timer = 0;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts()) {
        const fresh = page.getElementById(part.id);
        if (fresh) replace(part, fresh);
      }
      say("Live", false);
    } catch {
      say("The hub does not answer; trying again", true);
    }
  };

  // What comes together is read together; the hub itself looks at its store once a second.
  const soon = () => { timer ||= setTimeout(refresh, 1200); };

  const listen = () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    } else if (!stream) {
      stream = new EventSource("v1/events?topics=head,receipt,presence");
      for (const topic of ["head", "receipt", "presence"]) stream.addEventListener(topic, soon);
      stream.onopen = () => say("Live", false);
      stream.onerror = () => say("The hub does not answer; trying again", true);
      soon();
    }
  };
  document.addEventListener("visibilitychange", listen);
  listen();
  // "3 min ago" goes on, too.
  setInterval(() => { if (!document.hidden) soon(); }, 30000);
})();
