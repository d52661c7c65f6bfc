// Keeps the page fresh without losing the filter, the scroll position or what is being typed: fetches the same address again and
// puts the parts marked `data-live` in the place of the old ones. When the exporter cannot be reached it says so, for what stands
// there then is old.
"use strict";

(() => {
  const every = 1000 * Number(document.documentElement.dataset.refresh);
  const contact = document.getElementById("contact");
  let reached = new Date();

  function replace(next) {
    const focused = document.activeElement?.getAttribute("href");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = next.getElementById(old.id);
      if (!fresh) {
        location.reload();
        return;
      }
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(document.adoptNode(fresh));
      if (hadFocus && focused) {
        fresh.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      }
    }
    document.title = next.title;
    const icon = document.querySelector("link[rel=icon]");
    icon.href = next.querySelector("link[rel=icon]").getAttribute("href");
  }

  function tell(lost) {
    document.body.classList.toggle("lost", lost);
    contact.hidden = !lost;
    if (lost) {
      contact.textContent = `The exporter does not answer. What you see is of ${reached.toISOString().slice(0, 19).replace("T", " ")} UTC.`;
    }
  }

  async function refresh() {
    // Nobody looks, or somebody is about to copy something.
    if (document.hidden || getSelection()?.type === "Range") {
      return;
    }
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(every) });
      if (answer.status >= 500) {
        throw new Error(answer.statusText);
      }
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      reached = new Date();
      tell(false);
    } catch {
      tell(true);
    }
  }

  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);
  // A chosen value is shown at once.
  document.querySelector(".filter")?.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement) {
      event.currentTarget.requestSubmit();
    }
  });
  // Empty fields stay out of the address.
  document.querySelector(".filter")?.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (value === "" || (name === "sort" && value === "trouble")) {
        event.formData.delete(name);
      }
    }
  });
})();
