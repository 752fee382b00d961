// Everything here is an addition: without scripts a page shows the same figures in its tables.
import { draw } from "./charts.mjs";

const said = document.getElementById("said");
const say = (words) => { if (said) said.textContent = words; };

function theme() {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("gradledger-theme", next); } catch { /* storage is off */ }
    drawAll(document);
    say(`${next} theme`);
  });
}

function copies() {
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        say("copied");
      } catch {
        getSelection().selectAllChildren(code);
        say("selected; copy with the keyboard");
      }
    });
  }
}

function forms() {
  for (const form of document.querySelectorAll("form.get")) {
    // Empty fields say nothing: they stay out of the address.
    form.addEventListener("formdata", (event) => {
      for (const [name, value] of [...event.formData]) {
        if (value === "") {
          const kept = event.formData.getAll(name).filter((text) => text !== "");
          event.formData.delete(name);
          for (const text of kept) event.formData.append(name, text);
        }
      }
    });
    for (const select of form.querySelectorAll("select")) {
      select.addEventListener("change", () => form.requestSubmit());
    }
  }
}

function drawAll(root) {
  for (const figure of root.querySelectorAll("figure[data-chart]")) draw(figure);
}

// A page that trains or works is fetched again; only its live parts are put in place of the old.
function live() {
  const main = document.getElementById("main");
  let seconds = Number(main?.dataset.seconds ?? 0);
  if (!seconds) return;
  let tag = null;
  const look = async () => {
    try {
      const answer = await fetch(location.href, tag ? { headers: { "If-None-Match": tag } } : {});
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        const text = await answer.text();
        const page = new DOMParser().parseFromString(text, "text/html");
        seconds = Number(page.getElementById("main")?.dataset.seconds ?? 0);
        const fresh = page.querySelectorAll("[data-live]");
        const names = (all) => [...all].map((part) => part.id).join();
        const old = document.querySelectorAll("[data-live]");
        if (!seconds || names(fresh) !== names(old)) return location.reload();
        for (const part of fresh) {
          const before = document.getElementById(part.id);
          if (before.innerHTML === part.innerHTML) continue;
          const folded = [...before.querySelectorAll("details")].map((item) => item.open);
          before.replaceWith(document.adoptNode(part));
          drawAll(part);
          [...part.querySelectorAll("details")].forEach((item, n) => { item.open = folded[n] ?? item.open; });
        }
      }
    } catch { /* the server is away: look again later */ }
    setTimeout(look, seconds * 1000);
  };
  setTimeout(look, seconds * 1000);
}

theme();
copies();
forms();
drawAll(document);
live();
let width = innerWidth;
let timer = 0;
addEventListener("resize", () => {
  clearTimeout(timer);
  timer = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; drawAll(document); } }, 150);
});
document.documentElement.dataset.ready = "yes";
