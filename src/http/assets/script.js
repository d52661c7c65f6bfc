// Refreshes the page without losing the filter, the scroll position or typed text: fetches the same address again and
// replaces the elements marked `data-live`. If the exporter cannot be reached, a notice shows the time of the last
// update. Adds the local time of the reader, which the server does not know, to the times in UTC.
"use strict";

(() => {
  const interval = 1000 * Number(document.documentElement.dataset.refresh);
  const contact = document.getElementById("contact");
  let reached = new Date();

  function replaceLive(next) {
    const focused = document.activeElement?.getAttribute("href");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = next.getElementById(old.id);
      if (!fresh) {
        location.reload();
        return;
      }
      for (const { id } of old.querySelectorAll("details[open][id]")) {
        fresh.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
      }
      const hadFocus = old.contains(document.activeElement);
      addLocalTimes(fresh);
      old.replaceWith(document.adoptNode(fresh));
      if (hadFocus && focused) {
        fresh.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      }
    }
    document.title = next.title;
    const icon = document.querySelector("link[rel=icon]");
    icon.href = next.querySelector("link[rel=icon]").getAttribute("href");
  }

  function format(time) {
    return time.toISOString().slice(0, 19).replace("T", " ");
  }

  function addLocalTimes(part) {
    for (const time of part.querySelectorAll("time")) {
      const then = new Date(time.dateTime);
      if (then.getTimezoneOffset() === 0) {
        continue;
      }
      const local = ` = ${format(new Date(then - 60000 * then.getTimezoneOffset()))} local time`;
      if (time.title) {
        time.title += local;
      } else {
        time.textContent += local;
      }
    }
  }

  function showContact(lost) {
    document.body.classList.toggle("lost", lost);
    contact.hidden = !lost;
    if (lost) {
      contact.textContent = `The exporter does not answer. This page was last updated at ${format(reached)} UTC.`;
    }
  }

  async function refresh() {
    // Skipped while the page is hidden or text is selected, because a refresh would clear the selection.
    if (document.hidden || getSelection()?.type === "Range") {
      return;
    }
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(interval) });
      if (answer.status >= 500) {
        throw new Error(answer.statusText);
      }
      replaceLive(new DOMParser().parseFromString(await answer.text(), "text/html"));
      reached = new Date();
      showContact(false);
    } catch {
      showContact(true);
    }
  }

  addLocalTimes(document);
  setInterval(refresh, interval);
  document.addEventListener("visibilitychange", refresh);
  // Submits the form when a value is selected.
  document.querySelector(".filter")?.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement) {
      event.currentTarget.requestSubmit();
    }
  });
  // Removes empty and default fields from the address.
  document.querySelector(".filter")?.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (value === "" || (name === "sort" && value === "trouble")) {
        event.formData.delete(name);
      }
    }
  });
})();
