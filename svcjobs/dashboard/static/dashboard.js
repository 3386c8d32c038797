// Fetches the page anew every few seconds and puts in the parts that are live. Without scripts, reload the page.
"use strict";

const EVERY_MS = 3000;
const FOCUSABLE = "a[href], button, [tabindex]";

// Where the focus is inside of a part, to be found again in the part that takes its place.
function focusIn(part) {
  const element = document.activeElement;
  if (!element || !part.contains(element)) return null;
  const target = (one) => one.getAttribute("href") ?? one.closest("form")?.getAttribute("action");
  const ordinal = [...part.querySelectorAll(FOCUSABLE)].indexOf(element);
  const aim = target(element);
  return () => {
    const all = [...part.querySelectorAll(FOCUSABLE)];
    return all.find((one) => aim && target(one) === aim) ?? all[Math.min(ordinal, all.length - 1)];
  };
}

function renew(part, fresh) {
  if (part.innerHTML === fresh.innerHTML) return;
  const find = focusIn(part);
  const scrolled = [...part.querySelectorAll("pre")].map((one) => one.scrollTop);
  part.replaceChildren(...fresh.childNodes);
  part.querySelectorAll("pre").forEach((one, number) => (one.scrollTop = scrolled[number] ?? 0));
  find?.()?.focus({ preventScroll: true });
}

async function refresh() {
  const answer = await fetch(location.href, { redirect: "manual", signal: AbortSignal.timeout(5 * EVERY_MS) });
  if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText); // a job that is done is not found
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const parts = document.querySelectorAll("[data-live]");
  const fresh = page.querySelectorAll("[data-live]");
  if (String(getSelection())) return; // somebody copies something
  if (parts.length === fresh.length) parts.forEach((part, number) => renew(part, fresh[number]));
  else location.reload(); // it is another page now: a problem came or went
}

async function live() {
  if (!document.hidden) {
    const stale = await refresh().then(() => false, () => true);
    document.getElementById("stale").hidden = !stale;
  }
  setTimeout(live, EVERY_MS);
}

document.addEventListener("submit", (event) => {
  const question = event.target.querySelector("[data-confirm]")?.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
document.addEventListener("keydown", (event) => {
  const typing = /INPUT|TEXTAREA/.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    document.querySelector("input[type=search]").focus();
  }
});
if (document.querySelector("[data-live]")) setTimeout(live, EVERY_MS);
