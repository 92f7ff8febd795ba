// What the pages of the console can do better with a script. Everything works without it.
"use strict";

document.documentElement.classList.add("script");

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "short" });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

// Instants in the reader's zone: in full where the page says them in full, else as the title.
const localize = (within) => {
    for (const time of within.querySelectorAll("time[datetime]")) {
        const text = `${exact.format(new Date(time.dateTime))} (${zone})`;
        if ("exact" in time.dataset) {
            time.textContent = text;
        } else {
            time.title = text;
        }
    }
};
localize(document);

// `/` leads to the search, as in other lists.
addEventListener("keydown", (event) => {
    const search = document.querySelector("input[type=search]");
    const isTyping = event.target.closest("input, textarea, select");
    if (event.key === "/" && search && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
        event.preventDefault();
        search.focus();
    }
});

// A secret that is shown once: copy it, download it, and do not lose it by leaving.
const guarded = document.querySelector("[data-guard]");
if (guarded) {
    let isStored = false;
    const say = (text) => {
        document.getElementById("copied").textContent = text;
    };
    addEventListener("beforeunload", (event) => {
        if (!isStored) {
            event.preventDefault();
        }
    });
    document.addEventListener("click", async (event) => {
        const { copy, download, name, before } = event.target.dataset ?? {};
        if ("stored" in (event.target.dataset ?? {})) {
            isStored = true;
        } else if (copy) {
            try {
                await navigator.clipboard.writeText(document.getElementById(copy).textContent);
                isStored = true;
                say("Copied");
            } catch {
                getSelection().selectAllChildren(document.getElementById(copy));
                say("Copying is not allowed here: the token is selected, copy it with the keyboard");
            }
        } else if (download) {
            const text = `${before ?? ""}${document.getElementById(download).textContent}\n`;
            const link = document.createElement("a");
            link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
            link.download = name;
            link.click();
            URL.revokeObjectURL(link.href);
            isStored = true;
            say("Downloaded");
        }
    });
    // A browser may keep the page for Back and Forward: what it keeps is without the token.
    addEventListener("pagehide", () => {
        isStored = true;
        guarded.replaceChildren("The token was shown here once. If it is lost, rotate it.");
    });
}

// The progress of work that goes on in the server.
const follow = async () => {
    const shown = document.querySelector("[data-progress]");
    if (!shown || shown.dataset.progress === "done") {
        return;
    }
    await new Promise((wake) => setTimeout(wake, 1000));
    try {
        const answer = await fetch(location.href);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const next = page.querySelector("[data-progress]");
        if (next) {
            shown.replaceWith(next);
            localize(next);
        }
    } catch {
        // The server may be restarting; it is asked again.
    }
    follow();
};
follow();

// A choice that belongs to a field is taken when the field is used.
document.addEventListener("input", (event) => {
    if (event.target.name === "expires_at") {
        document.querySelector("input[name=expires][value=at]").checked = true;
    } else if (event.target.name === "choice" && event.target.value === "scopes") {
        document.querySelector("details.part").open = true;
    } else if (event.target.name === "scope" && event.target.type === "checkbox") {
        document.querySelector("input[name=choice][value=scopes]").checked = true;
    } else if (event.target.name === "preset" && event.target.matches("select")) {
        document.querySelector("input[name=choice][value=preset]")?.click();
    }
});
